from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from balanced_runs import (
    EPOCHS,
    OPTIMIZER,
    BalancedModel,
    Losses,
    build_runner,
    ratios_by_hand,
    ratios_of,
)
from mmdet.registry import HOOKS
from mmengine.hooks import CheckpointHook, LoggerHook
from mmengine.runner import IterBasedTrainLoop, get_priority

from mmdet_alrp.engine.hooks import SelfBalanceHook
from mmdet_alrp.guards.checkpoint_safety import load_safely

FIRST = [50.0, 20.0]
ITERATIONS = {'by_epoch': False, 'max_iters': 8}


def saved_ratios(path):
    state = load_safely(path)['state_dict']
    return [state['rpn.balance.ratio'].item(), state['roi.balance.ratio'].item()]


# Layer 1: arguments


@pytest.mark.parametrize('interval', [0, -3, 2.0, '5', True])
def test_bad_interval(interval):
    with pytest.raises(ValueError, match='interval must be a positive integer or None, got'):
        SelfBalanceHook(interval=interval)


def test_hook_is_registered():
    assert isinstance(HOOKS.build({'type': 'SelfBalanceHook', 'interval': 7}), SelfBalanceHook)


def test_hook_runs_before_checkpoints_are_written():
    assert get_priority(SelfBalanceHook.priority) < get_priority(CheckpointHook.priority)
    assert get_priority(SelfBalanceHook.priority) < get_priority(LoggerHook.priority)


# Layer 2: a runner that is none


def mock_runner(loop=None, model=None):
    model = model or BalancedModel()
    return SimpleNamespace(model=model, iter=0, train_loop=loop or Mock(), logger=Mock())


def begin(hook, runner):
    """Begin to train and note the losses of some steps."""
    hook.before_train(runner)
    runner.model.rpn.balance.sums += torch.tensor([0.9, 0.1])
    runner.model.roi.balance.sums += torch.tensor([0.5, 0.5])


def test_epoch_ends_the_period_of_every_enabled_balance():
    runner, hook = mock_runner(), SelfBalanceHook()
    begin(hook, runner)
    hook.after_train_iter(runner)
    assert ratios_of(runner) == FIRST
    hook.after_train_epoch(runner)
    assert ratios_of(runner) == pytest.approx([10, 2])
    assert runner.model.fixed.balance.ratio == 4
    assert [call.args[0] for call in runner.logger.info.call_args_list] == [
        'rpn.balance: self-balance ratio 10.0000',
        'roi.balance: self-balance ratio 2.0000',
    ]


@pytest.mark.parametrize(('iteration', 'ends'), [(0, False), (1, False), (2, True), (5, True)])
def test_interval_counts_iterations_and_not_epochs(iteration, ends):
    runner, hook = mock_runner(), SelfBalanceHook(interval=3)
    begin(hook, runner)
    runner.iter = iteration
    hook.after_train_epoch(runner)
    assert ratios_of(runner) == FIRST
    hook.after_train_iter(runner)
    assert (ratios_of(runner) != FIRST) == ends


def test_period_without_positives_is_reported():
    runner, hook = mock_runner(), SelfBalanceHook()
    begin(hook, runner)
    runner.model.roi.balance.sums.zero_()
    hook.after_train_epoch(runner)
    assert ratios_of(runner) == pytest.approx([10, 20])
    (message,) = (call.args[0] for call in runner.logger.warning.call_args_list)
    assert 'roi.balance: self-balance ratio stays 20.0000' in message


def test_model_without_ratios_is_left_alone():
    runner, hook = mock_runner(model=torch.nn.Linear(1, 1)), SelfBalanceHook()
    hook.before_train(runner)
    hook.after_train_epoch(runner)
    hook.after_train(runner)
    (message,) = runner.logger.info.call_args.args  # every config of the package has the hook
    assert 'no loss of this model has a self-balance ratio' in message
    assert not runner.logger.warning.called


@pytest.mark.parametrize(('size', 'batch_size', 'passes'), [(12, 3, 4), (13, 3, 5), (2, 8, 1)])
def test_one_pass_through_the_data(size, batch_size, passes):
    runner = mock_runner(loop=Mock(spec=IterBasedTrainLoop))
    runner.train_dataloader = torch.utils.data.DataLoader(Losses(size), batch_size)
    hook = SelfBalanceHook()
    begin(hook, runner)
    for runner.iter in range(passes):
        assert ratios_of(runner) == FIRST
        hook.after_train_iter(runner)
    assert ratios_of(runner) == pytest.approx([10, 2])


# Layer 3: MMEngine's runner


def test_ratio_is_that_of_the_epoch_that_just_ended(tmp_path):
    runner, recorder = build_runner(tmp_path)
    runner.train()
    first, second, third = (recorder.steps[start : start + 4] for start in (0, 4, 8))
    assert recorder.ratios[:4] == [FIRST] * 4
    assert recorder.ratios[4] == pytest.approx(ratios_by_hand(first), rel=1e-5)
    assert recorder.ratios[8] == pytest.approx(ratios_by_hand(second), rel=1e-5)
    assert recorder.ratios[4] != recorder.ratios[8]
    assert ratios_of(runner) == pytest.approx(ratios_by_hand(third), rel=1e-5)
    # the ratio was set before the checkpoint of the same epoch was written
    saved = [saved_ratios(tmp_path / f'epoch_{epoch}.pth') for epoch in (1, 2, 3)]
    assert saved == [recorder.ratios[4], recorder.ratios[8], ratios_of(runner)]


def test_resumed_run_goes_on_with_the_ratio(tmp_path):
    whole, _ = build_runner(tmp_path / 'whole')
    whole.train()
    path = str(tmp_path / 'whole' / 'epoch_1.pth')
    resumed, recorder = build_runner(tmp_path / 'resumed', load_from=path, resume=True)
    resumed.train()
    assert recorder.ratios[0] == saved_ratios(path) != FIRST
    assert len(recorder.steps) == 8
    assert ratios_of(resumed) == ratios_of(whole)


def test_run_resumed_within_a_period_keeps_its_sums(tmp_path):
    def hook():
        return SelfBalanceHook(interval=4)

    whole, recorder = build_runner(tmp_path / 'whole', ITERATIONS, hook())
    whole.train()
    path = str(tmp_path / 'whole' / 'iter_6.pth')
    sums = load_safely(path)['state_dict']['rpn.balance.sums']
    torch.testing.assert_close(sums, torch.stack(recorder.steps[4:6]).sum(0)[0])
    resumed, after = build_runner(
        tmp_path / 'resumed', ITERATIONS, hook(), load_from=path, resume=True
    )
    resumed.train()
    assert len(after.steps) == 2
    expected = ratios_by_hand(recorder.steps[4:6] + after.steps)
    assert ratios_of(resumed) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(('interval', 'period'), [(3, 3), (None, 4)], ids=['interval', 'one pass'])
def test_iteration_loop(tmp_path, interval, period):
    runner, recorder = build_runner(tmp_path, ITERATIONS, SelfBalanceHook(interval))
    runner.train()
    assert recorder.ratios[:period] == [FIRST] * period
    expected = ratios_by_hand(recorder.steps[:period])
    assert recorder.ratios[period] == pytest.approx(expected, rel=1e-5)
    assert saved_ratios(tmp_path / f'iter_{period}.pth') == recorder.ratios[period]
    expected = ratios_by_hand(recorder.steps[period : 2 * period])
    assert saved_ratios(tmp_path / f'iter_{2 * period}.pth') == pytest.approx(expected, rel=1e-5)


def test_gradient_accumulation_counts_every_step(tmp_path):
    wrapper = {'type': 'OptimWrapper', 'optimizer': OPTIMIZER, 'accumulative_counts': 2}
    runner, recorder = build_runner(tmp_path, EPOCHS, optim_wrapper=wrapper)
    runner.train()
    assert recorder.ratios[4] == pytest.approx(ratios_by_hand(recorder.steps[:4]), rel=1e-5)
    assert ratios_of(runner) == pytest.approx(ratios_by_hand(recorder.steps[8:]), rel=1e-5)


def test_mixed_precision(tmp_path):
    wrapper = {'type': 'BFloat16OptimWrapper', 'optimizer': OPTIMIZER}
    runner, recorder = build_runner(tmp_path, EPOCHS, optim_wrapper=wrapper)
    runner.train()
    expected = ratios_by_hand(recorder.steps[8:])
    assert ratios_of(runner) == pytest.approx(expected, rel=1e-2)
    # bfloat16 was at work: the losses themselves were rounded
    assert ratios_of(runner) != pytest.approx(expected, rel=1e-6)
