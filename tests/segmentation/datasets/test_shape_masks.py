import json

import cv2
import numpy as np
import pytest

from mmdet_alrp.datasets import ShapesOptions, write_shapes
from mmdet_alrp.datasets.scene_styles import SCENES
from mmdet_alrp.datasets.shape_masks import saliency_mask, semantic_mask
from mmdet_alrp.datasets.shape_outlines import CLASS_OUTLINES
from mmdet_alrp.datasets.shape_scenes import compose_scene, instance_masks

CLASSES = tuple(CLASS_OUTLINES)
HARD = SCENES['hard']


def scenes():
    return [compose_scene(np.random.default_rng([5, i]), 96, 80, CLASSES, HARD) for i in range(40)]


def test_class_masks_are_the_instance_masks_together():
    for scene in scenes():
        mask = semantic_mask(scene, CLASSES)
        for name in CLASSES:
            of_class = [visible for kind, visible in instance_masks(scene) if kind == name]
            expected = np.any(of_class, axis=0) if of_class else np.zeros_like(mask, bool)
            np.testing.assert_array_equal(mask == CLASSES.index(name) + 1, expected)


def test_salient_are_the_objects_at_least_half_as_large_as_the_largest():
    chosen = []
    for scene in scenes():
        mask = saliency_mask(scene)
        assert set(np.unique(mask)) <= {0, 255}
        visible = [found for _, found in instance_masks(scene)]
        largest = max(found.sum() for found in visible)
        for found in visible:
            assert np.unique(mask[found]).tolist() == [255 if 2 * found.sum() >= largest else 0]
        assert not mask[~np.any(visible, axis=0)].any()
        chosen.append(sum(2 * found.sum() >= largest for found in visible) / len(visible))
    assert 0.2 < np.mean(chosen) < 0.9


@pytest.fixture(scope='module')
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp('shapes')
    for kind in ('boxes', 'semantic', 'saliency'):
        write_shapes(folder / kind, ShapesOptions(6, 2, 96, 80, seed=5, kind=kind))
    return folder


def test_all_kinds_have_the_same_pictures(sets):
    for kind in ('semantic', 'saliency'):
        names = sorted(path.name for path in (sets / kind / 'images' / 'train').iterdir())
        assert names == sorted(path.name for path in (sets / 'boxes' / 'train').iterdir())
        for name in names:
            same = (sets / 'boxes' / 'train' / name).read_bytes()
            assert (sets / kind / 'images' / 'train' / name).read_bytes() == same
        assert json.loads((sets / kind / 'manifest.json').read_text())['kind'] == kind
    assert 'kind' not in json.loads((sets / 'boxes' / 'manifest.json').read_text())


def test_files_hold_the_masks_of_their_scenes(sets):
    scene = compose_scene(np.random.default_rng([5, 1, 1]), 96, 80, CLASSES, SCENES['easy'])
    for kind, expected in (
        ('semantic', semantic_mask(scene, CLASSES)),
        ('saliency', saliency_mask(scene)),
    ):
        path = sets / kind / 'masks' / 'val' / '000002.png'
        np.testing.assert_array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), expected)


def test_set_that_lost_a_mask_is_not_complete_and_another_kind_replaces_it_wholly(tmp_path):
    out = tmp_path / 'shapes'
    options = ShapesOptions(3, 1, 64, 64, kind='semantic')
    assert write_shapes(out, options) and not write_shapes(out, options)
    (out / 'masks' / 'train' / '000002.png').unlink()
    with pytest.raises(FileExistsError):
        write_shapes(str(out), options)
    assert write_shapes(str(out), ShapesOptions(3, 1, 64, 64), force=True)
    names = sorted(path.name for path in out.iterdir())
    assert names == ['manifest.json', 'train', 'train.json', 'val', 'val.json']


def test_folders_of_others_survive_a_forced_set(tmp_path):
    (tmp_path / 'images').mkdir()
    (tmp_path / 'images' / 'mine.jpg').write_text('mine')
    (tmp_path / 'manifest.json').write_text('{"name": "another program"}')
    write_shapes(tmp_path, ShapesOptions(1, 1, 64, 64), force=True)
    assert (tmp_path / 'images' / 'mine.jpg').read_text() == 'mine'


def test_unknown_kind_is_refused():
    with pytest.raises(
        ValueError, match="kind must be one of boxes, semantic, saliency; got 'dots'"
    ):
        ShapesOptions(kind='dots')
