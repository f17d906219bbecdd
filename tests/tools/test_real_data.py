"""Every kind of detector learns from, and is judged on, real images: blood cells."""

import json
import math

import pytest
import torch
from mmengine.config import Config
from tiny_runs import REPO, load_tool

CONFIGS = REPO / 'configs'
BLOOD_CELLS = Config.fromfile(CONFIGS / 'alrp_retinanet_r18_bccd.py')
DATA_KEYS = ('train_dataloader', 'val_dataloader', 'test_dataloader', 'val_evaluator')
NAMES = [
    'alrp_retinanet_r18_bccd',
    'rs_retinanet_r18_bccd',
    'alrp_atss_r18_shapes',
    'alrp_foveabox_r18_shapes',
    'alrp_faster_rcnn_r18_shapes',
]
STEPS = 5


def config_for_cells(name, folder, data):
    """A config of this package with the blood cells in place of its own data."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    for key in DATA_KEYS:
        cfg[key] = BLOOD_CELLS[key]
    head = cfg.model.bbox_head if 'bbox_head' in cfg.model else cfg.model.roi_head.bbox_head
    cfg.model.backbone.base_channels = 16
    cfg.model.neck.in_channels = [16, 32, 64, 128]
    head.num_classes = len(BLOOD_CELLS.metainfo.classes)
    for split, images in (('train', 4 * STEPS), ('val', 8)):
        loader = cfg[f'{split}_dataloader']
        loader.update(batch_size=4, num_workers=0, persistent_workers=False)
        loader.dataset.update(data_root=f'{data}/', indices=images)
    cfg.test_dataloader = cfg.val_dataloader
    cfg.val_evaluator.ann_file = str(data / 'val.json')
    cfg.test_evaluator = cfg.val_evaluator
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.default_hooks.logger.interval = 1
    cfg.log_processor.window_size = 1
    cfg.visualizer.name = f'cells_{name}'  # MMEngine keeps those of earlier runs
    path = folder / f'{name}.py'
    cfg.dump(path)
    return path


@pytest.mark.parametrize('name', NAMES)
def test_trains_and_is_judged_on_blood_cells(name, shared_data, tmp_path):
    torch.manual_seed(0)
    config = config_for_cells(name, tmp_path, shared_data / 'bccd')
    load_tool('train').main([str(config), '--work-dir', str(tmp_path / 'run')])
    (log,) = tmp_path.glob('run/*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    steps = [line for line in lines if 'loss' in line]
    assert len(steps) == STEPS
    for step in steps:
        assert all(math.isfinite(value) for value in step.values())
        assert 0 < step['loss_cls'] <= 2  # of ranking, and for Rank & Sort of sorting
        assert step['loc_error'] > 0  # there are positives in every batch
    (judged,) = (line for line in lines if 'coco/bbox_mAP' in line)
    assert 0 < judged['coco/bbox_oLRP'] <= 1
