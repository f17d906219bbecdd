"""Tiny real runs of the command-line tools: seconds each, on the CPU."""

import contextlib
import importlib.util
import io
import os
import pprint
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from in_processes import output_file, start_program, wait_for
from runs_of_mmengine import forget_runs

from mmdet_alrp.cli.exit_status import exit_status_of

REPO = Path(__file__).resolve().parents[2]
SIDE = 64
EPOCHS = 3
NUM_TRAIN = 16
BATCH = 4

FOCAL_HEAD = {
    'type': 'RetinaHead',
    'loss_cls': {'type': 'FocalLoss', 'use_sigmoid': True, 'gamma': 2.0, 'alpha': 0.25},
    'loss_bbox': {'type': 'L1Loss', 'loss_weight': 1.0},
}
HEAD_BODY = {
    'num_classes': 5,
    'in_channels': 16,
    'feat_channels': 16,
    'stacked_convs': 1,
    'anchor_generator': {
        'type': 'AnchorGenerator',
        'octave_base_scale': 4,
        'scales_per_octave': 1,
        'ratios': [1.0],
        'strides': [8, 16, 32],
    },
    'bbox_coder': {'type': 'DeltaXYWHBBoxCoder'},
}


def tiny_model(head):
    """A RetinaNet of a few thousand weights with a head made of HEAD_BODY and `head`."""
    return {
        'type': 'RetinaNet',
        'data_preprocessor': {
            'type': 'DetDataPreprocessor',
            'mean': [123.0, 117.0, 104.0],
            'std': [58.0, 57.0, 57.0],
            'pad_size_divisor': 32,
        },
        'backbone': {
            'type': 'ResNet',
            'depth': 18,
            'base_channels': 8,
            'out_indices': (1, 2, 3),
            'norm_eval': False,
        },
        'neck': {
            'type': 'FPN',
            'in_channels': [16, 32, 64],
            'out_channels': 16,
            'num_outs': 3,
        },
        'bbox_head': {**HEAD_BODY, **head},
        'train_cfg': {
            'assigner': {
                'type': 'MaxIoUAssigner',
                'pos_iou_thr': 0.5,
                'neg_iou_thr': 0.4,
                'min_pos_iou': 0,
                'ignore_iof_thr': -1,
            },
            'allowed_border': -1,
            'pos_weight': -1,
            'debug': False,
        },
        'test_cfg': {
            'nms_pre': 100,
            'min_bbox_size': 0,
            'score_thr': 0.0,
            'nms': {'type': 'nms', 'iou_threshold': 0.5},
            'max_per_img': 20,
        },
    }


def write_config(path, data_root, head=FOCAL_HEAD, epochs=EPOCHS, **changes):
    """Write the config of a tiny run; `changes` replaces top-level keys. Returns its path."""
    base = REPO / 'configs' / '_base_' / 'shapes_detection.py'
    loader = {'batch_size': BATCH, 'num_workers': 0, 'persistent_workers': False}
    flipless = [
        {'type': 'LoadImageFromFile'},
        {'type': 'LoadAnnotations', 'with_bbox': True},
        {'type': 'PackDetInputs'},
    ]
    train_set = {'data_root': str(data_root), 'pipeline': flipless}
    val_set = {'data_root': str(data_root)}
    evaluator = {'ann_file': str(data_root / 'val.json')}
    settings = {
        '_base_': [str(base)],
        'default_scope': 'mmdet',
        'custom_imports': {'imports': ['mmdet_alrp', 'kill_hook']},
        'custom_hooks': [{'type': 'KillHook'}],
        'default_hooks': {
            'timer': {'type': 'IterTimerHook'},
            'logger': {'type': 'LoggerHook', 'interval': 1},
            'param_scheduler': {'type': 'ParamSchedulerHook'},
            'checkpoint': {'type': 'CheckpointHook', 'interval': 1},
            'sampler_seed': {'type': 'DistSamplerSeedHook'},
            'visualization': {'type': 'DetVisualizationHook'},
        },
        'visualizer': {
            'type': 'DetLocalVisualizer',
            'vis_backends': [{'type': 'LocalVisBackend'}],
            'name': 'visualizer',
        },
        'model': tiny_model(head),
        'train_dataloader': {**loader, 'dataset': train_set},
        'val_dataloader': {**loader, 'dataset': val_set},
        'test_dataloader': {**loader, 'dataset': val_set},
        'val_evaluator': evaluator,
        'test_evaluator': evaluator,
        'train_cfg': {'type': 'EpochBasedTrainLoop', 'max_epochs': epochs, 'val_interval': epochs},
        'val_cfg': {'type': 'ValLoop'},
        'test_cfg': {'type': 'TestLoop'},
        'optim_wrapper': {
            'type': 'OptimWrapper',
            'optimizer': {'type': 'SGD', 'lr': 0.01, 'momentum': 0.9},
            'clip_grad': {'max_norm': 10},
        },
        'param_scheduler': [
            {'type': 'LinearLR', 'start_factor': 0.1, 'by_epoch': False, 'begin': 0, 'end': 6},
            {'type': 'MultiStepLR', 'by_epoch': True, 'milestones': [2], 'gamma': 0.1},
        ],
        'auto_scale_lr': {'enable': False, 'base_batch_size': 2 * BATCH},
        'randomness': {'seed': 3, 'deterministic': True},
        **changes,
    }
    text = ''.join(f'{key} = {pprint.pformat(value)}\n' for key, value in settings.items())
    path.write_text(text)
    return path


def run_tool(name, *words, cwd):
    """Run a tool of this repository in a process of its own, as a user without a GPU does."""
    process = start_program(REPO / 'tools' / name, words, cwd)
    wait_for(process, 300)
    out, err = (
        output_file(cwd, stream, process.pid).read_text('utf-8') for stream in ('stdout', 'stderr')
    )
    return subprocess.CompletedProcess([name, *words], process.exitcode, out, err)


def run_starter(name, *words, cwd):
    """Run a shell script of this repository, which starts Python anew."""
    environment = {
        **os.environ,
        'CUDA_VISIBLE_DEVICES': '-1',
        'OMP_NUM_THREADS': '1',
        'PYTHON': sys.executable,
        'PYTHONPATH': os.pathsep.join([str(REPO), str(Path(__file__).parent)]),
    }
    return subprocess.run(
        ['bash', str(REPO / 'tools' / name), *map(str, words)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def run_here(name, *command, cwd):
    """What `run_tool` gives, in this process: no start of Python, no import of the toolboxes."""
    tool = load_tool(name.removesuffix('.py'))
    words = [str(word) for word in command]
    out, err = io.StringIO(), io.StringIO()
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(cwd)
        patch.setattr('mmengine.device.utils.DEVICE', 'cpu')
        patch.setattr('torch.cuda.is_available', lambda: False)
        forget_runs()
        torch.set_num_threads(1)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                status = exit_status_of(lambda: tool.main(words), name)
        finally:
            forget_runs()
            torch.set_num_threads(threads)
            torch.use_deterministic_algorithms(False)  # the tiny config asks for them
    return subprocess.CompletedProcess(words, status, out.getvalue(), err.getvalue())


def load_tool(name):
    """Import a tool of this repository as a module."""
    spec = importlib.util.spec_from_file_location(f'tool_{name}', REPO / 'tools' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def one_line_error(capsys, tool, *options):
    """Run a tool's `main` with wrong input in this process: the one line a user is to see."""
    module = load_tool(tool)
    # a run of the same second would log to what an earlier test has captured and closed
    forget_runs()
    with pytest.raises(SystemExit) as exit_info:
        sys.exit(exit_status_of(lambda: module.main([str(item) for item in options]), f'{tool}.py'))
    assert exit_info.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f'{tool}.py: error: ')
    return line
