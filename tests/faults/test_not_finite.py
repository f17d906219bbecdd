import re

import pytest
import torch
from faulty_runs import SGD, Diary, Poison, build_runner, scene, scenes
from mmdet.registry import HOOKS
from tiny_detectors import HEADS, detector
from tiny_runs import load_tool, write_config

from mmdet_alrp.cli.exit_status import exit_status_of
from mmdet_alrp.criteria.self_balance import SelfBalance
from mmdet_alrp.engine.hooks import FiniteLossHook
from mmdet_alrp.guards.checkpoint_safety import load_safely
from mmdet_alrp.guards.errors import NotFiniteError

HOOK = {'type': 'FiniteLossHook'}
VALUES = [float('nan'), float('inf'), float('-inf')]


def poisoned_run(folder, name, hook, iterations=(1,), value=float('nan'), data=None, **changes):
    """Four steps of which some have a poisoned logit layer."""
    diary = Diary()
    hooks = [
        Poison(HEADS[name].logits, value, iterations),
        hook,
        diary,
        {'type': 'SelfBalanceHook'},
    ]
    runner = build_runner(folder, detector(name), data or scenes(8), hooks, **changes)
    return runner, diary


def warnings_of(work_dir):
    lines = [line for log in work_dir.glob('*/*.log') for line in log.read_text().splitlines()]
    return [line for line in lines if 'left out' in line]


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'action': 'ignore'}, "action must be one of raise, skip, got 'ignore'"),
        ({'max_skipped': 0}, 'max_skipped must be a positive integer, got 0'),
        ({'max_skipped': 2.5}, 'max_skipped must be a positive integer, got 2.5'),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        HOOKS.build({'type': 'FiniteLossHook', **options})


@pytest.mark.parametrize('value', VALUES, ids=str)
@pytest.mark.parametrize('name', HEADS)
def test_raise_names_head_loss_iteration_and_remedy(tmp_path, name, value):
    runner, diary = poisoned_run(tmp_path, name, FiniteLossHook(), [2], value, epochs=2)
    with pytest.raises(NotFiniteError) as caught:
        runner.train()
    message = str(caught.value)
    head = HEADS[name]
    assert re.match(rf'iteration 3, .*{head.path} \({name}\): {head.loss} = (nan|inf)', message)
    assert '(images 4.png, 5.png)' in message
    assert 'lower optim_wrapper.optimizer.lr' in message and 'clip_grad' in message
    assert '\n' not in message
    assert isinstance(caught.value, FloatingPointError)
    assert len(diary.losses) == 2  # it stopped before hooks of lower priority
    assert not list(tmp_path.glob('*.pth'))


@pytest.mark.parametrize('name', ['RankingRetinaHead', 'RankingATSSHead', 'RankingFoveaHead'])
def test_logits_are_judged_where_no_positive_makes_a_loss_of_them(tmp_path, name):
    data = [scene([], [], seed=seed) for seed in range(8)]
    runner, _ = poisoned_run(tmp_path, name, FiniteLossHook(), data=data)
    with pytest.raises(
        NotFiniteError, match=rf'bbox_head \({name}\): logits = nan or inf \(images'
    ):
        runner.train()


def test_nothing_is_saved_when_the_last_step_of_an_epoch_is_poisoned(tmp_path):
    hook = FiniteLossHook()
    runner, _ = poisoned_run(tmp_path, 'RankingRetinaHead', hook, [7], epochs=2)
    with pytest.raises(NotFiniteError, match='iteration 8'):
        runner.train()
    assert [path.name for path in tmp_path.glob('*.pth')] == ['epoch_1.pth']
    state = load_safely(tmp_path / 'epoch_1.pth')['state_dict']
    assert all(value.isfinite().all() for value in state.values())


@pytest.mark.parametrize('value', VALUES, ids=str)
@pytest.mark.parametrize('name', HEADS)
def test_skip_changes_nothing_in_the_step_and_goes_on(tmp_path, name, value):
    runner, diary = poisoned_run(tmp_path, name, FiniteLossHook('skip'), [1], value)
    runner.train()
    assert not diary.same(0, 1)
    assert diary.same(1, 2)  # weights, momentum, statistics, sums of the balance
    assert not diary.same(2, 3) and not diary.same(3, 4)
    assert diary.is_finite()
    (line,) = warnings_of(tmp_path)
    head = HEADS[name]
    assert re.search(rf'iteration 2, .*{head.path} \({name}\): {head.loss} = (nan|inf)', line)
    assert 'number 1 in a row, 1 in this run' in line
    state = load_safely(tmp_path / 'epoch_1.pth')['state_dict']
    assert all(value.isfinite().all() for value in state.values())


def test_skip_takes_the_dropped_step_out_of_the_period(tmp_path):
    runner, _ = poisoned_run(tmp_path, 'RankingRetinaHead', FiniteLossHook('skip'), [1])
    head = runner.model.bbox_head
    head.loss_cls.balance = SelfBalance(every=2)
    runner.train()
    balance = head.loss_cls.balance
    assert (int(balance.calls), balance._calls) == (3, 3)  # of four steps
    assert balance.ratio != 50 and balance.sums[1] > 0  # one period ended, the next began


@pytest.mark.parametrize(
    'optim_wrapper',
    [
        {'type': 'OptimWrapper', 'optimizer': {'type': 'AdamW', 'lr': 1e-3}},
        {'type': 'OptimWrapper', 'optimizer': SGD, 'clip_grad': {'max_norm': 1.0}},
        {'type': 'BFloat16OptimWrapper', 'optimizer': SGD},
    ],
    ids=['AdamW', 'clip_grad', 'bfloat16'],
)
def test_skip_with_optimiser(tmp_path, optim_wrapper):
    hook = FiniteLossHook('skip')
    runner, diary = poisoned_run(tmp_path, 'RankingRetinaHead', hook, optim_wrapper=optim_wrapper)
    runner.train()
    assert diary.same(1, 2) and not diary.same(2, 3) and diary.is_finite()


def test_skip_drops_the_whole_step_when_gradients_are_accumulated(tmp_path):
    wrapper = {'type': 'OptimWrapper', 'optimizer': SGD, 'accumulative_counts': 2}
    hook = FiniteLossHook('skip')
    runner, diary = poisoned_run(
        tmp_path, 'RankingRetinaHead', hook, [2], data=scenes(12), optim_wrapper=wrapper
    )
    runner.train()
    # steps are made after forward passes 2, 4 and 6; the second holds the poisoned pass 3
    assert not diary.same(0, 2) and diary.same(2, 4) and not diary.same(4, 6)
    (line,) = warnings_of(tmp_path)
    assert 'bbox_head (RankingRetinaHead): loss_cls = nan' in line and '4.png' in line


def test_skip_gives_up_after_too_many_in_a_row(tmp_path):
    hook = FiniteLossHook('skip', max_skipped=3)
    # one good step resets the count
    poisoned = [0, 1, 3, 4, 5]
    runner, diary = poisoned_run(tmp_path, 'RankingRetinaHead', hook, poisoned, epochs=2)
    with pytest.raises(NotFiniteError, match=r'iteration 6, .* 3 steps in a row are lost; lower'):
        runner.train()
    assert len(warnings_of(tmp_path)) == 4
    assert diary.is_finite()


def test_skip_sees_gradients_that_overflow_behind_a_finite_loss(tmp_path):
    runner, diary = poisoned_run(tmp_path, 'RetinaHead', FiniteLossHook('skip'), iterations=[])
    weight = runner.model.bbox_head.retina_cls.weight
    passes = []
    weight.register_hook(
        lambda grad: passes.append(1) or grad * (float('inf') ** (len(passes) == 2))
    )
    runner.train()
    assert diary.same(1, 2) and not diary.same(2, 3)
    (line,) = warnings_of(tmp_path)
    assert 'iteration 2, gradients = nan or inf although the losses are finite' in line


def test_guard_leaves_the_model_as_it_was(tmp_path):
    runner, _ = poisoned_run(tmp_path, 'RetinaHead', FiniteLossHook('skip'), [1])
    runner.train()
    assert not runner.model._forward_hooks
    assert not runner.optim_wrapper.optimizer._optimizer_step_pre_hooks


@pytest.mark.parametrize('action', ['raise', 'skip'])
def test_healthy_run_is_the_same_with_and_without_the_hook(tmp_path, action):
    pages = []
    for hook in (FiniteLossHook(action), {'type': 'IterTimerHook'}):
        runner, diary = poisoned_run(tmp_path, 'RankingRetinaHead', hook, [])
        runner.train()
        pages.append(diary.pages[-1])
    torch.testing.assert_close(*pages, rtol=0, atol=0)
    assert not warnings_of(tmp_path)


def test_diverging_run_ends_with_one_line(tiny_shapes, tmp_path, capsys):
    config = write_config(tmp_path / 'tiny.py', tiny_shapes, custom_hooks=[HOOK])
    options = ['--work-dir', tmp_path, '--cfg-options', 'optim_wrapper.optimizer.lr=1e30']
    train = load_tool('train')
    assert exit_status_of(lambda: train.main([str(config), *map(str, options)]), 'train.py') == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if 'error' in line]
    (line,) = lines
    assert re.match(r'train.py: error: iteration \d, bbox_head \(RetinaHead\): loss_cls = ', line)
    assert not list(tmp_path.glob('*.pth'))
