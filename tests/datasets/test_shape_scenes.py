import numpy as np
import pytest

from mmdet_alrp.datasets.scene_styles import SCENES
from mmdet_alrp.datasets.shape_outlines import CLASS_OUTLINES, DISTRACTOR_OUTLINES, PALETTE
from mmdet_alrp.datasets.shape_painting import paint_image
from mmdet_alrp.datasets.shape_scenes import (
    MIN_VISIBLE_PIXELS,
    Scene,
    Shape,
    compose_scene,
    full_area,
    instance_masks,
    shape_mask,
    visible_masks,
)


def square(left, top, side, kind='rectangle'):
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * (side - 1.0) + [left, top]
    return Shape(kind, [corners], contrast=60.0, paint_seed=1)


HARD = SCENES['hard']


def compose(seed, width, height, style):
    return compose_scene(np.random.default_rng(seed), width, height, tuple(CLASS_OUTLINES), style)


def scenes(count, side=128, style=HARD):
    return [compose([3, index], side, side, style) for index in range(count)]


def hidden_fractions(drawn):
    return [
        1 - mask.sum() / shape_mask(shape.outline, scene.width, scene.height).sum()
        for scene in drawn
        for shape, mask in zip(scene.shapes, visible_masks(scene), strict=True)
    ]


def test_later_shapes_hide_earlier_ones():
    scene = Scene(20, 20, (square(0, 0, 10), square(5, 5, 10)), paint_seed=0, style=HARD)
    back, front = visible_masks(scene)
    assert back.sum() == 75
    assert front.sum() == 100
    assert not (back & front).any()


def test_distractors_hide_but_are_not_annotated():
    scene = Scene(20, 20, (square(0, 0, 10), square(5, 5, 10, 'cross')), paint_seed=0, style=HARD)
    ((kind, mask),) = instance_masks(scene)
    assert kind == 'rectangle'
    assert mask.sum() == 75


def test_hole_shows_what_is_behind():
    ring = [square(0, 0, 16).outline[0], square(4, 4, 8).outline[0]]
    mask = shape_mask(ring, 20, 20)
    assert mask[1, 1] and not mask[8, 8]
    assert full_area(ring) == pytest.approx(15**2 - 7**2)


@pytest.mark.parametrize('style', SCENES.values(), ids=SCENES)
def test_annotated_shapes_are_visible_well_enough(style):
    for scene in scenes(60, style=style):
        for shape, mask in zip(scene.shapes, visible_masks(scene), strict=True):
            if not shape.is_distractor:
                assert mask.sum() >= MIN_VISIBLE_PIXELS
                assert mask.sum() >= style.min_visible * full_area(shape.outline)


def test_hard_set_has_all_classes_all_sizes_overlap_and_distractors():
    drawn = scenes(150, side=160)
    found = [(kind, mask.sum()) for scene in drawn for kind, mask in instance_masks(scene)]
    areas = np.array([area for _, area in found])
    assert {kind for kind, _ in found} == set(CLASS_OUTLINES)
    assert (areas < 32**2).mean() > 0.2
    assert ((areas >= 32**2) & (areas < 96**2)).mean() > 0.2
    assert (areas >= 96**2).any()
    shapes = [(scene, shape) for scene in drawn for shape in scene.shapes]
    assert {shape.kind for _, shape in shapes} >= set(DISTRACTOR_OUTLINES)
    assert np.mean(np.array(hidden_fractions(drawn)) > 0) > 0.1


def test_easy_set_has_all_classes_and_few_large_shapes_that_are_seen_well():
    drawn = scenes(150, side=160, style=SCENES['easy'])
    found = [(kind, mask.sum()) for scene in drawn for kind, mask in instance_masks(scene)]
    assert {kind for kind, _ in found} == set(CLASS_OUTLINES)
    assert 1.5 < len(found) / len(drawn) < 3
    assert len(found) == sum(len(scene.shapes) for scene in drawn)  # no distractors
    assert np.mean(np.array(hidden_fractions(drawn)) > 0.1) < 0.05
    for shape in [shape for scene in drawn for shape in scene.shapes]:
        points = np.concatenate(shape.outline)
        assert np.ptp(points, axis=0).max() > 16
        # a centre keeps one radius from the border; the corners of a rectangle are farther out
        assert points.min() > -0.35 * 48 and points.max() < 160 + 0.35 * 48
        assert shape.contrast >= 80


@pytest.mark.parametrize(('width', 'height'), [(32, 32), (200, 60)])
@pytest.mark.parametrize('style', SCENES.values(), ids=SCENES)
def test_image_has_the_size_asked_for_and_repeats(width, height, style):
    for index in range(10):
        images = []
        for _ in range(2):
            images.append(paint_image(compose([7, index], width, height, style)))
        assert images[0].shape == (height, width, 3)
        assert images[0].dtype == np.uint8
        np.testing.assert_array_equal(*images)


def test_painted_shape_stands_where_its_mask_is():
    scene = Scene(64, 64, (square(20, 12, 24),), paint_seed=4, style=HARD)
    change = paint_image(scene).astype(int) - paint_image(Scene(64, 64, (), 4, HARD)).astype(int)
    ((_, mask),) = instance_masks(scene)
    strength = np.abs(change).sum(2)
    assert np.median(strength[mask]) > 60
    assert np.median(strength[~mask]) == 0


def test_every_class_has_a_colour_of_its_own():
    assert PALETTE.keys() == CLASS_OUTLINES.keys()
    assert len(set(PALETTE.values())) == len(PALETTE)
    assert not CLASS_OUTLINES.keys() & DISTRACTOR_OUTLINES.keys()
