import itertools
import json
import signal

import pytest
from test_train import (
    STEPS,
    assert_same_end,
    free_port,
    last_checkpoint,
)
from tiny_runs import BATCH, EPOCHS, run_here, run_starter, run_tool, write_config

from mmdet_alrp.guards.checkpoint_safety import load_safely

ALRP_HEAD = {
    'type': 'RankingRetinaHead',
    'reg_decoded_bbox': True,
    'loss_cls': {'type': 'ALRPLoss', 'use_sigmoid': True},
    'loss_bbox': {'type': 'GIoULoss', 'reduction': 'none'},
}
RATIO = 'bbox_head.loss_cls.balance.ratio'
LOGGED = {'type': 'LogProcessor', 'window_size': 1, 'by_epoch': True}  # figures of single steps
HOOKS = [{'type': 'KillHook'}, {'type': 'SelfBalanceHook'}]


def alrp_config(path, tiny_shapes, **changes):
    return write_config(
        path, tiny_shapes, ALRP_HEAD, custom_hooks=HOOKS, log_processor=LOGGED, **changes
    )


def steps_of(work_dir):
    """Logged figures of every step of all runs in a work dir, oldest first."""
    lines = []
    for log in sorted(work_dir.glob('*/vis_data/scalars.json')):
        lines += [json.loads(line) for line in log.read_text().splitlines()]
    return [line for line in lines if 'loss' in line]


def ratio_of(steps):
    loss_loc = sum(step['loc_error'] for step in steps)
    return (sum(step['loss_cls'] for step in steps) + loss_loc) / loss_loc


@pytest.fixture(scope='module')
def alrp_trained(tiny_shapes, tmp_path_factory):
    """Config and work dir of an uninterrupted run with aLRP."""
    folder = tmp_path_factory.mktemp('alrp')
    config = alrp_config(folder / 'tiny_alrp.py', tiny_shapes)
    result = run_here('train.py', config, '--work-dir', folder / 'run', cwd=folder)
    assert result.returncode == 0, result.stderr[-3000:]
    return config, folder / 'run'


def test_ratio_follows_the_epoch_that_just_ended(alrp_trained):
    _, work_dir = alrp_trained
    steps = steps_of(work_dir)
    assert len(steps) == EPOCHS * STEPS
    epochs = [steps[start : start + STEPS] for start in range(0, len(steps), STEPS)]
    assert [step['self_balance_ratio'] for step in epochs[0]] == [50] * STEPS
    for before, epoch in itertools.pairwise(epochs):
        expected = [pytest.approx(ratio_of(before), rel=1e-4)] * STEPS
        assert [step['self_balance_ratio'] for step in epoch] == expected
    for step in steps:
        assert step['loss'] == pytest.approx(step['loss_cls'] + step['loss_bbox'], rel=1e-4)
        weighted = step['loc_error'] * step['self_balance_ratio']
        assert step['loss_bbox'] == pytest.approx(weighted, rel=1e-4)
    state = last_checkpoint(work_dir)['state_dict']
    assert state[RATIO].item() == pytest.approx(ratio_of(epochs[-1]), rel=1e-4)


def kill_and_resume(config, work_dir, monkeypatch):
    """Train, kill -9 in the middle of the second epoch, go on with --resume."""
    killed_before = STEPS + STEPS // 2
    monkeypatch.setenv('KILL_BEFORE_ITERATION', str(killed_before))
    killed = run_tool('train.py', config, '--work-dir', work_dir, cwd=work_dir.parent)
    assert killed.returncode == -signal.SIGKILL, killed.stderr[-2000:]
    assert not (work_dir / 'epoch_2.pth').exists()
    monkeypatch.delenv('KILL_BEFORE_ITERATION')
    resumed = run_here('train.py', config, '--work-dir', work_dir, '--resume', cwd=work_dir.parent)
    assert resumed.returncode == 0, resumed.stderr[-3000:]


def test_resume_after_kill_goes_on_with_the_ratio(alrp_trained, tmp_path, monkeypatch):
    config, reference = alrp_trained
    kill_and_resume(config, tmp_path / 'run', monkeypatch)
    assert_same_end(tmp_path / 'run', reference)
    after = [step['step'] for step in steps_of(tmp_path / 'run')]
    assert after == [*range(1, STEPS + STEPS // 2 + 1), *range(STEPS + 1, EPOCHS * STEPS + 1)]
    assert RATIO in last_checkpoint(tmp_path / 'run')['state_dict']
    first = load_safely(tmp_path / 'run' / 'epoch_1.pth')['state_dict'][RATIO]
    resumed = steps_of(tmp_path / 'run')[-2 * STEPS]
    assert resumed['step'] == STEPS + 1
    assert resumed['self_balance_ratio'] == pytest.approx(first.item(), rel=1e-6)
    assert first != 50


@pytest.fixture(scope='module')
def two_processes(tiny_shapes, tmp_path_factory):
    """Work dir of a run in two processes, each with half of the batch."""
    folder = tmp_path_factory.mktemp('processes')
    config = alrp_config(folder / 'two.py', tiny_shapes, epochs=2)
    half = f'train_dataloader.batch_size={BATCH // 2}'
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PORT', str(free_port()))
        options = ('--auto-scale-lr', '--cfg-options', half)
        result = run_starter('dist_train.sh', config, 2, *options, cwd=folder)
    assert result.returncode == 0, result.stderr[-3000:]
    return folder / 'work_dirs' / 'two'


def test_two_cpu_processes_share_an_epoch(two_processes):
    steps = steps_of(two_processes)
    assert [step['step'] for step in steps] == list(range(1, 2 * STEPS + 1))
    # the batch of both processes together is half of auto_scale_lr.base_batch_size
    assert steps[0]['lr'] == pytest.approx(0.01 * 0.1 / 2)
    (log,) = two_processes.glob('*/vis_data/scalars.json')
    assert any('coco/bbox_oLRP' in line for line in log.read_text().splitlines())
    state = load_safely(two_processes / 'epoch_2.pth')['state_dict']
    assert all(value.isfinite().all() for value in state.values())


def test_two_processes_share_one_ratio(two_processes):
    steps = steps_of(two_processes)
    ratio = steps[STEPS]['self_balance_ratio']
    saved = load_safely(two_processes / 'epoch_1.pth')['state_dict'][RATIO]
    assert ratio == pytest.approx(saved.item(), rel=1e-6)
    # the log holds the losses of the first process, the ratio those of both
    assert ratio != pytest.approx(ratio_of(steps[:STEPS]), rel=1e-5)
    assert ratio == pytest.approx(ratio_of(steps[:STEPS]), rel=0.5)


def test_mixed_precision(tiny_shapes, alrp_trained, tmp_path):
    config = alrp_config(tmp_path / 'amp.py', tiny_shapes, epochs=1)
    result = run_here('train.py', config, '--amp', cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    work_dir = tmp_path / 'work_dirs' / 'amp'
    half, full = steps_of(work_dir)[0]['loss'], steps_of(alrp_trained[1])[0]['loss']
    assert half != full
    assert half == pytest.approx(full, rel=0.05)
    state = load_safely(work_dir / 'epoch_1.pth')['state_dict']
    assert all(value.isfinite().all() for value in state.values())
    assert state[RATIO] != 50


def test_checkpoint_is_evaluated(alrp_trained, tmp_path):
    config, work_dir = alrp_trained
    checkpoint = work_dir / f'epoch_{EPOCHS}.pth'
    result = run_here('test.py', config, checkpoint, '--work-dir', tmp_path / 'test', cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    (log,) = (tmp_path / 'test').glob('*/*.json')
    figures = json.loads(log.read_text())
    (training,) = work_dir.glob('*/vis_data/scalars.json')
    expected = json.loads(training.read_text().splitlines()[-1])
    for key in ('coco/bbox_mAP', 'coco/bbox_oLRP'):
        assert figures[key] == pytest.approx(expected[key], abs=1e-6)
