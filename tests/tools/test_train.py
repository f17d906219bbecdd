import json
import os
import socket

import pytest
import torch
from building import write_stack
from fresh_python import run_python
from mmdet.registry import MODELS
from tiny_runs import (
    BATCH,
    EPOCHS,
    NUM_TRAIN,
    REPO,
    load_tool,
    one_line_error,
    run_here,
    run_starter,
    run_tool,
    write_config,
)

from mmdet_alrp.guards.checkpoint_safety import load_safely

STEPS = NUM_TRAIN // BATCH


def last_checkpoint(work_dir):
    return load_safely(work_dir / f'epoch_{EPOCHS}.pth')


def train_losses(work_dir):
    """Loss of every step of all runs in a work dir, oldest first."""
    lines = []
    for log in sorted(work_dir.glob('*/vis_data/scalars.json')):
        lines += [json.loads(line) for line in log.read_text().splitlines()]
    return [(line['step'], line['loss']) for line in lines if 'loss' in line]


def assert_same_end(work_dir, reference_dir):
    """Weights, buffers, optimiser and schedule agree bit for bit."""
    ours, reference = last_checkpoint(work_dir), last_checkpoint(reference_dir)
    torch.testing.assert_close(ours['state_dict'], reference['state_dict'], rtol=0, atol=0)
    torch.testing.assert_close(
        ours['optimizer']['state'], reference['optimizer']['state'], rtol=0, atol=0
    )
    assert ours['param_schedulers'] == reference['param_schedulers']
    assert ours['meta']['iter'] == reference['meta']['iter'] == EPOCHS * STEPS


def test_run_logs_every_step_and_measures_ap_and_olrp(trained):
    losses = train_losses(trained)
    assert [step for step, _ in losses] == list(range(1, EPOCHS * STEPS + 1))
    assert losses[-1][1] < losses[0][1]
    (log,) = trained.glob('*/vis_data/scalars.json')
    figures = json.loads(log.read_text().splitlines()[-1])
    assert {'coco/bbox_mAP', 'coco/bbox_oLRP'} <= figures.keys()


def test_resume_from_path_reaches_the_same_end(tiny_config, trained, tmp_path):
    result = run_here('train.py', tiny_config, '--resume', trained / 'epoch_2.pth', cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    assert_same_end(tmp_path / 'work_dirs' / 'tiny_focal', trained)


def free_port():
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return probe.getsockname()[1]


def test_amp_on_the_cpu_trains_in_bfloat16(tiny_shapes, trained, tmp_path):
    config = write_config(tmp_path / 'amp.py', tiny_shapes, epochs=1)
    result = run_here('train.py', config, '--amp', cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    work_dir = tmp_path / 'work_dirs' / 'amp'
    state = load_safely(work_dir / 'epoch_1.pth')['state_dict']
    assert all(value.isfinite().all() and value.dtype != torch.bfloat16 for value in state.values())
    half, full = train_losses(work_dir)[0][1], train_losses(trained)[0][1]
    assert half != full
    assert half == pytest.approx(full, rel=0.05)


def test_missing_config_ends_the_process_with_status_2(tmp_path):
    result = run_tool('train.py', 'nowhere.py', cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.endswith('train.py: error: there is no config file nowhere.py\n')
    assert 'Traceback' not in result.stderr


def test_broken_config(tmp_path, capsys):
    path = tmp_path / 'broken.py'
    path.write_text('model = dict(\n')
    assert 'broken.py cannot be read' in one_line_error(capsys, 'train', path)


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (['--cfg-options', 'train_cfg.max_epochs'], "must be key=value, got 'train_cfg.max_ep"),
        (['--cfg-options', 'optim_wraper.x=1'], 'did you mean optim_wrapper?'),
        (['--cfg-options', 'param_scheduler.7.end=1'], 'does not fit the config'),
        (['--cfg-options', 'work_dir=[a,(b]'], 'brackets'),
        (['--resume', 'gone.pth'], '--resume: there is no file gone.pth'),
        (['--resume', 'broken.pth'], 'broken.pth is'),
        (['--resume', 'empty.pth'], 'empty.pth is'),
        (['--work-dir', 'broken.pth'], 'work dir: broken.pth cannot be written'),
        (['--cfg-options', 'model.bbox_head.loss_cls.type=FocalLos'], 'FocalLos is not in the'),
        (
            ['--cfg-options', 'model.bbox_head.loss_cls.gama=2'],
            "unexpected keyword argument 'gama'",
        ),
        (['--cfg-options', 'model.bbox_head.num_classes=0'], 'num_classes=0'),
        (['--launcher', 'pytorch'], 'start it with tools/dist_*.sh'),
        (['--launcher', 'slurm'], 'start it with tools/slurm_*.sh'),
        (['--nonsense'], 'unrecognized arguments: --nonsense'),
    ],
)
def test_wrong_option(tiny_config, tmp_path, monkeypatch, capsys, options, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'broken.pth').write_bytes(b'no checkpoint')
    (tmp_path / 'empty.pth').touch()
    assert expected in one_line_error(capsys, 'train', tiny_config, *options)


def test_fault_in_a_users_own_part_keeps_its_traceback(tiny_config, tmp_path, monkeypatch):
    @MODELS.register_module()
    class FaultyNeck:
        def __init__(self, **settings):
            raise ValueError('own fault')

    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match='own fault'):
        load_tool('train').main([str(tiny_config), '--cfg-options', 'model.neck.type=FaultyNeck'])


@pytest.mark.parametrize(
    ('command', 'expected'),
    [
        (
            ('dist_train.sh', '{config}', 0),
            "whole number of at least 1, got '0'",
        ),
        (('dist_test.sh', '{config}', 'x.pth', 'two'), "at least 1, got 'two'"),
        (('dist_train.sh', 'gone.py', 2), 'there is no config file gone.py'),
        (('dist_test.sh', 'gone.py', 'x.pth', 2), 'there is no config file gone.py'),
    ],
)
def test_wrong_use_of_the_starters(tiny_config, tmp_path, command, expected):
    words = [str(word).format(config=tiny_config) for word in command]
    result = run_starter(*words, cwd=tmp_path)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert expected in line


@pytest.mark.skipif(torch.cuda.is_available(), reason='float16 works where CUDA is')
def test_float16_without_cuda(tiny_config, capsys):
    options = ['--amp', '--cfg-options', 'optim_wrapper.dtype=float16']
    line = one_line_error(capsys, 'train', tiny_config, *options)
    assert 'optim_wrapper.dtype=float16 needs CUDA' in line


@pytest.mark.skipif(torch.cuda.is_available(), reason='mmcv knows float16 where CUDA is')
def test_two_stages_in_bfloat16(capsys):
    config = REPO / 'configs' / 'alrp_faster_rcnn_r18_shapes.py'
    line = one_line_error(capsys, 'train', config, '--amp')
    assert 'a two-stage detector' in line
    assert 'train it without' in line


def test_checkpoint_with_foreign_objects_is_refused(tiny_config, tmp_path, capsys):
    path = tmp_path / 'foreign.pth'
    torch.save({'state_dict': {}, 'meta': tmp_path}, path)
    line = one_line_error(capsys, 'train', tiny_config, '--resume', path)
    assert 'foreign.pth is no checkpoint that can be loaded safely' in line


def test_resume_names_a_checkpoint_that_is_gone(tiny_config, tmp_path, capsys):
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_9.pth'))
    line = one_line_error(capsys, 'train', tiny_config, '--work-dir', tmp_path, '--resume')
    assert 'epoch_9.pth' in line


@pytest.mark.parametrize(
    ('root', 'advice'),
    [
        ('data/shapes', 'python tools/make_shapes.py data/shapes'),
        ('data/coco', 'COCO 2017 (cocodataset.org) goes under data/coco'),
        ('elsewhere', '--cfg-options train_dataloader.dataset.data_root=FOLDER'),
    ],
)
def test_missing_data(tiny_config, tmp_path, monkeypatch, capsys, root, advice):
    monkeypatch.chdir(tmp_path)
    option = f'train_dataloader.dataset.data_root={root}'
    line = one_line_error(capsys, 'train', tiny_config, '--cfg-options', option)
    assert f'{root}/train.json is missing: the annotation file of the train dataset' in line
    assert advice in line


def test_missing_images(tiny_config, tiny_shapes, capsys):
    option = 'val_dataloader.dataset.data_prefix.img=nowhere/'
    line = one_line_error(capsys, 'train', tiny_config, '--cfg-options', option)
    assert f'{tiny_shapes}/nowhere/ is missing: the folder of the val images' in line


def test_wrong_folder_of_data_is_one_line(tiny_config, tmp_path, capsys):
    line = one_line_error(capsys, 'train', tiny_config, '--data-root', tmp_path / 'nowhere')
    assert f'there is no folder {tmp_path / "nowhere"}' in line
    (tmp_path / 'bare.py').write_text("model = dict(type='RetinaNet')\n")
    line = one_line_error(capsys, 'train', tmp_path / 'bare.py', '--data-root', tmp_path)
    assert 'the config has no data_root' in line


def test_backbone_weights_of_another_net_are_one_line(tiny_config, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({'state_dict': {'conv1.weight': torch.zeros(3)}}, tmp_path / 'other.pth')
    option = ('--backbone-weights', tmp_path / 'other.pth')
    line = one_line_error(capsys, 'train', tiny_config, *option)
    assert line.startswith('train.py: error: --backbone-weights: ')
    assert "does not fit the config's model" in line
    line = one_line_error(capsys, 'train', tiny_config, '--backbone-weights', 'none.pth')
    assert 'there is no file none.pth' in line


def help_beside(folder, packages):
    """The tool's help, with these packages first on the path."""
    write_stack(folder, packages)
    environment = {**os.environ, 'PYTHONPATH': f'{folder}{os.pathsep}{REPO}'}
    words = ('-W', 'ignore', str(REPO / 'tools' / 'train.py'), '--help')
    return run_python(*words, folder=REPO, environment=environment)


def test_a_stack_that_does_not_fit_is_one_line(tmp_path):
    done = help_beside(tmp_path, {'mmcv': ('1.7.0', '')})
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith('train.py: error: mmcv 1.7.0 does not fit')


def test_an_optional_package_that_does_not_fit_stops_no_tool(tmp_path):
    done = help_beside(tmp_path, {'mmsegmentation': ('0.30.0', None), 'mmseg': ('0.30.0', '')})
    assert done.returncode == 0, done.stderr
