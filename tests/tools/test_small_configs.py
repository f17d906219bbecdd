"""Small configs train on drawn shapes by the command line that a user types.

One of every kind; every config trains a step in ``tests/configs/test_config_models.py``.
"""

import json
import math

import pytest
import torch
from runs_of_mmengine import forget_runs
from tiny_runs import REPO, SIDE, load_tool

from mmdet_alrp.guards.checkpoint_safety import load_safely

CONFIGS = REPO / 'configs'
HEADS = {
    'alrp_atss_r18_shapes': 1,
    'alrp_cascade_rcnn_r18_shapes': 4,
    'alrp_mask_rcnn_r18_shapes': 2,
    'rs_retinanet_r18_shapes': 0,
    'alrp_dino_r18_shapes': 1,
    'alrp_rtmdet_r18_shapes': 1,
    'rs_paa_r18_shapes': 0,
}
STEPS = 4


def tiny_epoch(name, data, work_dir):
    """One epoch of STEPS steps on 8 images and a validation on 6."""
    options = {
        'train_dataloader.batch_size': 2,
        'train_dataloader.dataset.indices': 2 * STEPS,
        'train_cfg.max_epochs': 1,
        'train_cfg.val_interval': 1,
        'default_hooks.logger.interval': 1,
        'log_processor.window_size': 1,
        'train_dataloader.dataset.pipeline.2.scale': f'({SIDE},{SIDE})',
        'val_dataloader.dataset.pipeline.1.scale': f'({SIDE},{SIDE})',
        'val_evaluator.ann_file': data / 'val.json',
        'model.backbone.base_channels': 16,
        'model.neck.in_channels': '[64,128]' if 'dino' in name else '[16,32,64,128]',
    }
    for split in ('train', 'val', 'test'):
        options[f'{split}_dataloader.dataset.data_root'] = data
        options[f'{split}_dataloader.num_workers'] = 0
        options[f'{split}_dataloader.persistent_workers'] = False
    test_cfg = 'model.test_cfg.rcnn' if 'rcnn' in name else 'model.test_cfg'
    if 'rcnn' in name:
        options['model.train_cfg.rpn_proposal.max_per_img'] = 100  # places of boxes in an image
    if 'dino' in name:
        options['model.num_queries'] = 20  # as many as the small images have places
    else:  # DINO takes the best, whatever their scores
        options[f'{test_cfg}.score_thr'] = 0.0  # after a few steps no score is high
    if HEADS[name]:
        options['default_hooks.self_balance.interval'] = STEPS // 2
    pairs = [f'{key}={value}' for key, value in options.items()]
    config = str(CONFIGS / f'{name}.py')
    forget_runs()
    load_tool('train').main([config, '--work-dir', str(work_dir), '--cfg-options', *pairs])


@pytest.mark.parametrize('name', HEADS)
def test_one_epoch_trains_and_is_judged(name, tiny_shapes, tmp_path):
    torch.manual_seed(0)
    tiny_epoch(name, tiny_shapes, tmp_path)
    (log,) = tmp_path.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    steps = [line for line in lines if 'loss' in line]
    assert [line['step'] for line in steps] == [*range(1, STEPS + 1)]
    assert all(math.isfinite(value) for line in steps for value in line.values())

    (judged,) = (line for line in lines if 'coco/bbox_mAP' in line)
    kinds = ('bbox', 'segm') if 'mask' in name else ('bbox',)
    assert all(0 < judged[f'coco/{kind}_oLRP'] <= 1 for kind in kinds)

    state = load_safely(tmp_path / 'epoch_1.pth')['state_dict']
    assert all(value.isfinite().all() for value in state.values())
    ratios = {key: value.item() for key, value in state.items() if key.endswith('balance.ratio')}
    enabled = ratios if HEADS[name] else {}
    assert len(enabled) == HEADS[name]
    # An untrained RPN need not give a positive to the last stage of a cascade, whose ratio stays.
    assert all(ratio != 50 for key, ratio in enabled.items() if 'bbox_head.2' not in key)
