"""The small segmentation configs train and test by the command lines that a user types."""

import json
import math
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from runs_of_mmengine import forget_runs

import mmdet_alrp  # noqa: F401 - registers what the configs name
from mmdet_alrp.cli import segmentation_runs
from mmdet_alrp.cli.exit_status import exit_status_of
from mmdet_alrp.datasets import ShapesOptions, write_shapes
from mmdet_alrp.guards.checkpoint_safety import load_safely

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / 'tests' / 'tools'))
from tiny_runs import load_tool, one_line_error  # noqa: E402

CONFIGS = ROOT / 'configs' / 'segmentation'
SEMANTIC = ('ce', 'lovasz', 'asl_miou', 'asl_biou', 'asl_miou_biou')
SALIENCY = ('bce', 'fmeasure', 'structure', 'lovasz_hinge')
LOSSES = {
    'ce': ['CrossEntropyLoss'],
    'bce': ['CrossEntropyLoss'],
    'lovasz': ['LovaszSoftmaxLoss'],
    'fmeasure': ['FMeasureLoss'],
    'structure': ['StructureLoss'],
    'lovasz_hinge': ['CrossEntropyLoss', 'LovaszHingeLoss'],
}
NAMES = [
    *(f'{loss}_fcn_r18_{data}' for loss in SEMANTIC for data in ('shapes', 'camvid')),
    *(f'{loss}_fpn_r18_saliency' for loss in SALIENCY),
]
SIDE = 64


@pytest.fixture(scope='module')
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp('shapes')
    for kind in ('semantic', 'saliency'):
        write_shapes(folder / kind, ShapesOptions(8, 4, SIDE, SIDE, kind=kind, scenes='hard'))
    return folder


def options_of(name, sets, **changes):
    """Command line of a tiny run on drawn shapes."""
    data = sets / ('saliency' if name.endswith('saliency') else 'semantic')
    options = {
        'train_dataloader.batch_size': 4,
        'train_cfg.max_epochs': 1,
        'train_cfg.val_interval': 1,
        'default_hooks.logger.interval': 1,
        'log_processor.window_size': 1,
        'visualizer.name': name,  # MMEngine keeps those of earlier runs
    }
    for split in ('train', 'val', 'test'):
        options[f'{split}_dataloader.dataset.data_root'] = data
        options[f'{split}_dataloader.num_workers'] = 0
        options[f'{split}_dataloader.persistent_workers'] = False
    options.update(changes)
    return ['--cfg-options', *(f'{key}={value}' for key, value in options.items())]


def run(tool, *command):
    forget_runs()
    load_tool(tool).main([str(item) for item in command])


def figures_of(work_dir):
    logs = sorted(work_dir.glob('*/vis_data/scalars.json'))
    return [json.loads(line) for log in logs for line in log.read_text().splitlines()]


@pytest.mark.parametrize(
    ('name', 'metrics'),
    [
        ('asl_miou_biou_fcn_r18_shapes', ('mIoU', 'FWIoU', 'mAcc', 'gAcc', 'BIoU', 'BF1')),
        ('fmeasure_fpn_r18_saliency', ('maxF', 'meanF', 'MAE', 'Smeasure', 'meanE', 'wF')),
    ],
)
def test_trains_resumes_and_tests_with_pictures(name, metrics, sets, tmp_path):
    config = CONFIGS / f'{name}.py'
    run('train', config, '--amp', '--work-dir', tmp_path / 'run', *options_of(name, sets))
    more = options_of(name, sets, **{'train_cfg.max_epochs': 2, 'visualizer.name': f'{name}_2'})
    run('train', config, '--amp', '--resume', '--work-dir', tmp_path / 'run', *more)
    lines = figures_of(tmp_path / 'run')
    steps = [line for line in lines if 'loss' in line]
    assert [line['step'] for line in steps] == [1, 2, 3, 4]
    assert all(math.isfinite(value) for line in steps for value in line.values())
    judged = [line for line in lines if metrics[0] in line]
    assert len(judged) == 2
    assert all(0 <= line[metric] <= 1 for line in judged for metric in metrics)

    checkpoint = tmp_path / 'run' / 'epoch_2.pth'
    load_safely(checkpoint)
    out = ['--show-dir', 'pictures', '--out', tmp_path / 'found.pkl']
    # A machine that only tests has no training data.
    absent = {'train_dataloader.dataset.data_root': str(tmp_path / 'nowhere')}
    test = options_of(name, sets, **{'visualizer.name': f'{name}_3'}, **absent)
    run('test', config, checkpoint, '--work-dir', tmp_path / 'test', *out, *test)
    pictures = sorted(tmp_path.glob('test/*/pictures/*.png'))
    assert len(pictures) == 4
    # ground truth and prediction side by side
    assert {cv2.imread(str(path)).shape for path in pictures} == {(SIDE, 2 * SIDE, 3)}
    assert (tmp_path / 'found.pkl').stat().st_size > 0


@pytest.mark.parametrize('name', NAMES)
def test_loss_of_the_name_reaches_every_weight(name):
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    init_default_scope('mmseg')
    model = MODELS.build(cfg.model)
    head = model.decode_head
    loss = name.partition('_f')[0] if not name.startswith('fmeasure') else 'fmeasure'
    several = isinstance(head.loss_decode, torch.nn.ModuleList)
    parts = head.loss_decode if several else [head.loss_decode]
    assert [type(part).__name__ for part in parts] == LOSSES.get(loss, ['AutoSegLoss'])
    torch.manual_seed(0)
    logits = model(torch.randn(2, 3, SIDE, SIDE))
    assert logits.shape == (2, head.out_channels, SIDE // 4, SIDE // 4)
    target = torch.randint(0, head.num_classes, (2, SIDE // 4, SIDE // 4))
    sum(part(logits, target, ignore_index=255) for part in parts).backward()
    assert all(
        weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters()
    )


@pytest.mark.parametrize('name', NAMES)
def test_twins_differ_only_in_the_loss(name):
    data = name.rpartition('_')[2]
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    twin = 'bce_fpn_r18_saliency' if data == 'saliency' else f'ce_fcn_r18_{data}'
    reference = Config.fromfile(CONFIGS / f'{twin}.py')
    for config in (cfg, reference):
        config.pop('loss')
        config.model.decode_head.pop('loss_decode')
    assert cfg.to_dict() == reference.to_dict()


def last_line(capsys, tool, *command):
    """The tool's last word on stderr, after what the toolbox has logged and warned about."""
    status = exit_status_of(lambda: run(tool, *command), f'{tool}.py')
    assert status == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f'{tool}.py: error: ')
    return line


def test_wrong_data_ends_in_one_line(sets, tmp_path, capsys):
    config = CONFIGS / 'ce_fcn_r18_shapes.py'
    write_shapes(tmp_path / 'data', ShapesOptions(4, 1, SIDE, SIDE, kind='semantic', scenes='hard'))
    path = tmp_path / 'data' / 'masks' / 'train' / '000002.png'
    cv2.imwrite(str(path), np.full((SIDE, SIDE), 6, np.uint8))
    changes = {
        f'{split}_dataloader.dataset.data_root': tmp_path / 'data' for split in ('train', 'val')
    }
    command = [config, '--work-dir', tmp_path / 'run', *options_of('label', sets, **changes)]
    line = last_line(capsys, 'train', *command)
    assert '000002.png: the mask has label 6, but decode_head (FCNHead) has num_cl' in line
    path.unlink()
    assert '1 of 4 images in' in last_line(capsys, 'train', *command)
    path.parent.rename(tmp_path / 'elsewhere')
    assert 'is missing: the folder of the train masks' in last_line(capsys, 'train', *command)
    line = last_line(
        capsys,
        'train',
        config,
        '--work-dir',
        tmp_path / 'run',
        '--cfg-options',
        f'train_dataloader.dataset.data_root={tmp_path}/data/shapes_semantic',
    )
    assert '--kind semantic' in line


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (['--submission', 'a.zip'], '--submission is about boxes'),
        (['--score-thr', 'a.json'], '--score-thr is about boxes'),
        (['--tta'], 'takes the sigmoid of a single channel twice'),
    ],
)
def test_what_segmentation_has_not_is_refused(options, expected, tmp_path, capsys):
    torch.save({'state_dict': {'weight': torch.zeros(1)}}, tmp_path / 'any.pth')
    config = CONFIGS / 'bce_fpn_r18_saliency.py'
    work_dir = ['--work-dir', tmp_path / 'run']
    line = one_line_error(capsys, 'test', config, tmp_path / 'any.pth', *work_dir, *options)
    assert expected in line


@pytest.mark.parametrize(
    ('name', 'option', 'expected'),
    [
        ('asl_miou', 'model.decode_head.loss_decode.theta=none.json', 'parameters at none.json'),
        ('asl_miou', 'model.decode_head.loss_decode.target_metric=mIOU', "Acc, gAcc, got 'mIOU'"),
        ('ce', 'val_evaluator.0.metrics=mIuO', "gAcc; got 'mIuO'"),
        ('ce', 'val_evaluator.0.beta=1', "unexpected keyword argument 'beta'"),
        ('ce', 'model.decode_head.num_classes=9', 'num_classes=9, but ShapesSemanticDataset has 6'),
        ('ce', 'model.decode_head.loss_decode={1', 'must be a dict in Python'),
    ],
)
def test_wrong_settings_are_refused_before_training(
    name, option, expected, sets, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr('mmengine.runner.Runner.train', None)
    options = options_of(tmp_path.name, sets)
    command = [CONFIGS / f'{name}_fcn_r18_shapes.py', '--work-dir', tmp_path, *options, option]
    if '{' in option:
        with pytest.raises(SystemExit):
            run('train', *command)
        assert expected in capsys.readouterr().err
    else:
        assert expected in last_line(capsys, 'train', *command)


def test_another_loss_from_the_command_line(sets, tmp_path, monkeypatch):
    heads = []
    monkeypatch.setattr(
        'mmengine.runner.Runner.train', lambda self: heads.append(self.model.decode_head)
    )
    loss = {'_delete_': True, 'type': 'AutoSegLoss', 'target_metric': {'mIoU': 1.0, 'BIoU': 0.5}}
    config = CONFIGS / 'ce_fcn_r18_shapes.py'
    run(
        'train',
        config,
        '--work-dir',
        tmp_path,
        *options_of('another', sets),
        f'model.decode_head.loss_decode={loss}',
    )
    assert type(heads[0].loss_decode).__name__ == 'AutoSegLoss'


def test_wrong_masks_end_in_one_line_from_a_worker_too(sets, tmp_path, capsys):
    changes = {'train_dataloader.dataset.data_root': sets / 'semantic'}
    changes |= {'train_dataloader.num_workers': 1}
    config = CONFIGS / 'bce_fpn_r18_saliency.py'
    options = options_of('worker_saliency', sets, **changes)
    command = [config, '--work-dir', tmp_path, *options]
    assert 'nothing brighter than' in last_line(capsys, 'train', *command)


def test_missing_toolbox_names_the_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(segmentation_runs, 'is_importable', lambda module: module != 'mmseg')
    line = one_line_error(capsys, 'train', CONFIGS / 'ce_fcn_r18_shapes.py', '--work-dir', tmp_path)
    assert line.endswith("MMSegmentation is not installed: pip install 'mmdet-alrp[seg]'")
