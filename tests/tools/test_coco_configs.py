"""The configs for COCO in the command-line tools, without COCO."""

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures.bbox import bbox_flip
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import init_default_scope
from tiny_runs import REPO, load_tool, one_line_error

from mmdet_alrp.command_line import UsageError

CONFIGS = REPO / 'configs'
ONE = CONFIGS / 'alrp_retinanet_r50_500.py'
TOP = 20
DIFFERENT_DATA = [ONE.stem, 'alrp_retinanet_atss_r101_800', 'alrp_mask_rcnn_r50_500']


@pytest.mark.parametrize('name', DIFFERENT_DATA)
def test_missing_coco_is_told_in_one_line(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    line = one_line_error(capsys, 'train', CONFIGS / f'{name}.py')
    assert 'data/coco/annotations/instances_train2017.json is missing' in line
    assert 'COCO 2017 (cocodataset.org) goes under data/coco' in line


def test_masks_are_not_augmented():
    cfg = Config.fromfile(CONFIGS / 'alrp_mask_rcnn_r50_500.py')
    with pytest.raises(UsageError, match='merges boxes and no masks'):
        load_tool('test').augment_at_test_time(cfg)


@pytest.fixture(scope='module')
def augmented():
    """Model and pipeline of `tools/test.py --tta`, with all sizes divided by eight."""
    cfg = Config.fromfile(ONE)
    load_tool('test').augment_at_test_time(cfg)
    init_default_scope('mmdet')
    pipeline = cfg.test_dataloader.dataset.pipeline
    for resize in pipeline[1].transforms[0]:
        resize.scale = tuple(side // 8 for side in resize.scale)
    cfg.model.module.backbone.init_cfg = None
    cfg.model.module.test_cfg.score_thr = 0.0
    torch.manual_seed(0)
    return MODELS.build(cfg.model).eval(), Compose(pipeline)


def detect(augmented, image, path):
    model, pipeline = augmented
    cv2.imwrite(str(path), image)
    views = pipeline({'img_path': str(path), 'img_id': 0})
    with torch.no_grad():
        (found,) = model.test_step(pseudo_collate([views]))
    return views, found.pred_instances


def test_augmentation_makes_six_views(augmented, tmp_path):
    image = np.random.default_rng(0).integers(256, size=(60, 100, 3), dtype=np.uint8)
    views, found = detect(augmented, image, tmp_path / 'image.png')
    shapes = [sample.img_shape for sample in views['data_samples']]
    assert len(shapes) == 6
    assert len(set(shapes)) == 3
    assert [sample.flip for sample in views['data_samples']].count(True) == 3
    assert len(found) == 100
    assert found.bboxes[:, 0::2].max() < 100.01  # in pixels of the image as it was
    assert 50 < found.bboxes[:, 1::2].max() < 60.01


def test_augmented_detections_of_the_mirrored_image_are_mirrored(augmented, tmp_path):
    image = np.random.default_rng(1).integers(256, size=(50, 84, 3), dtype=np.uint8)
    _, found = detect(augmented, image, tmp_path / 'image.png')
    _, mirrored = detect(augmented, image[:, ::-1], tmp_path / 'mirrored.png')
    expected = bbox_flip(mirrored.bboxes[:TOP], (50, 84))
    torch.testing.assert_close(found.scores[:TOP], mirrored.scores[:TOP])
    torch.testing.assert_close(found.bboxes[:TOP], expected, rtol=0, atol=1e-2)
