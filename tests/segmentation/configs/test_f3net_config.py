"""The recipe of F3Net: its rates epoch by epoch, and an epoch of it at small size."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, init_default_scope
from runs_of_mmengine import forget_runs
from segmentation_files import load

from mmdet_alrp.datasets import ShapesOptions, write_shapes

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / 'tests' / 'tools'))
from tiny_runs import load_tool  # noqa: E402

NAME = 'structure_f3net_r50_duts'


def test_rates_rise_and_fall_in_straight_lines():
    cfg = load(NAME)
    init_default_scope('mmseg')
    parts = {'backbone': torch.nn.Linear(1, 1), 'decode_head': torch.nn.Linear(1, 1)}
    model = torch.nn.ModuleDict(parts)
    optimizer = build_optim_wrapper(model, cfg.optim_wrapper).optimizer
    assert all(group['nesterov'] and group['momentum'] == 0.9 for group in optimizer.param_groups)
    assert all(group['weight_decay'] == 5e-4 for group in optimizer.param_groups)
    schedulers = [
        PARAM_SCHEDULERS.build({**part, 'optimizer': optimizer}) for part in cfg.param_scheduler
    ]
    rates = {id(p): group for group in optimizer.param_groups for p in group['params']}
    epochs = cfg.train_cfg.max_epochs
    assert epochs == 32
    for epoch in range(epochs):
        rate = 0.05 * (1 - abs((epoch + 1) / (epochs + 1) * 2 - 1))
        for name, factor in (('backbone', 0.1), ('decode_head', 1.0)):
            found = rates[id(model[name].weight)]['lr']
            assert found == pytest.approx(factor * rate, rel=1e-9), (name, epoch)
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()


def test_a_small_epoch_trains_and_judges(tmp_path):
    write_shapes(tmp_path / 'data', ShapesOptions(4, 2, 80, 64, kind='saliency', scenes='hard'))
    options = {
        'model.backbone.init_cfg': None,
        'train_dataloader.batch_size': 2,
        'train_dataloader.collate_fn.sizes': '[64,96]',
        'train_cfg.max_epochs': 1,
        'train_cfg.val_interval': 1,
        'default_hooks.logger.interval': 1,
        'default_hooks.checkpoint.save_optimizer': False,  # of a whole ResNet-50
        'visualizer.name': NAME,  # MMEngine keeps those of earlier runs
    }
    for split, folder in (('train', 'train'), ('val', 'val'), ('test', 'val')):
        dataset = f'{split}_dataloader.dataset'
        options[f'{dataset}.data_root'] = tmp_path / 'data'
        options[f'{dataset}.data_prefix.img_path'] = f'images/{folder}'
        options[f'{dataset}.data_prefix.seg_map_path'] = f'masks/{folder}'
        options[f'{split}_dataloader.num_workers'] = 0
        options[f'{split}_dataloader.persistent_workers'] = False
    forget_runs()
    settings = [f'{key}={value}' for key, value in options.items()]
    config = ROOT / 'configs' / 'segmentation' / f'{NAME}.py'
    command = [config, '--work-dir', tmp_path / 'run', '--cfg-options', *settings]
    load_tool('train').main([str(item) for item in command])
    (log,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    losses = [line['decode.loss_structure'] for line in lines if 'loss' in line]
    assert len(losses) == 2 and all(math.isfinite(loss) and loss > 0 for loss in losses)
    assert [line['lr'] for line in lines if 'loss' in line] == pytest.approx(
        [0.05 * 2 / 33 * 0.1] * 2
    )
    (judged,) = (line for line in lines if 'maxF' in line)
    assert 0 <= judged['maxF'] <= 1
