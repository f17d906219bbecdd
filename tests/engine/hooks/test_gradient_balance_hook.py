from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
from mmdet.registry import HOOKS, MODELS
from mmengine.hooks import LoggerHook
from mmengine.runner import get_priority
from torch import nn

from mmdet_alrp.engine.hooks import GradientBalanceHook

NUM_CLASSES = 3
LABELS = torch.tensor([0, 3, 2, 3, 3, 1])  # 3 is the background
RANKING = {
    'ALRPLoss': lambda n: torch.full((n,), 0.25),
    'APLoss': lambda n: torch.full((n,), 0.25),
    'NDCGLoss': lambda n: torch.full((n,), 0.25),
}


class Head(nn.Module):
    def __init__(self, loss, channels=NUM_CLASSES):
        super().__init__()
        self.loss_cls = MODELS.build(loss)
        generator = torch.Generator().manual_seed(3)
        self.logits = nn.Parameter(torch.randn(len(LABELS), channels, generator=generator))


def runner_of(model, **changes):
    return SimpleNamespace(model=model, iter=0, message_hub=Mock(), logger=Mock(), **changes)


def logged(runner):
    return {call.args[0]: call.args[1] for call in runner.message_hub.update_scalar.mock_calls}


def by_hand(head, loss, positive):
    (grad,) = torch.autograd.grad(loss, head.logits)
    return (grad.abs()[positive].sum() / grad.abs()[~positive].sum()).item()


def one_hot():
    return torch.nn.functional.one_hot(LABELS, NUM_CLASSES + 1)[:, :NUM_CLASSES].bool()


@pytest.mark.parametrize('interval', [0, -3, 2.0, True])
def test_bad_interval(interval):
    with pytest.raises(ValueError, match='interval must be a positive integer, got'):
        GradientBalanceHook(interval=interval)


def test_registered_and_before_the_log():
    hook = HOOKS.build({'type': 'GradientBalanceHook', 'interval': 5})
    assert get_priority(hook.priority) < get_priority(LoggerHook.priority)


def test_focal_loss_logit_by_logit():
    head = Head({'type': 'FocalLoss', 'use_sigmoid': True})
    runner, hook = runner_of(nn.ModuleDict({'bbox_head': head})), GradientBalanceHook(interval=1)
    hook.before_train(runner)
    weights = torch.ones(len(LABELS))
    loss = head.loss_cls(head.logits, LABELS, weights, avg_factor=3)
    expected = by_hand(head, head.loss_cls(head.logits.clone(), LABELS, weights), one_hot())
    runner.message_hub.reset_mock()
    hook._sums['grad_ratio'].zero_()  # by_hand's own backward pass was heard too
    loss.backward()
    hook.after_train_iter(runner)
    assert logged(runner) == {'train/grad_ratio': pytest.approx(expected, rel=1e-6)}
    assert abs(expected - 1) > 0.1


def test_softmax_row_by_row():
    head = Head({'type': 'CrossEntropyLoss'}, NUM_CLASSES + 1)
    runner, hook = runner_of(nn.ModuleDict({'bbox_head': head})), GradientBalanceHook(interval=1)
    positive = (LABELS < NUM_CLASSES).unsqueeze(1).expand(-1, NUM_CLASSES + 1)
    expected = by_hand(head, head.loss_cls(head.logits, LABELS), positive)
    hook.before_train(runner)
    head.loss_cls(cls_score=head.logits, label=LABELS).backward()
    hook.after_train_iter(runner)
    assert logged(runner)['train/grad_ratio'] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize('kind', RANKING)
def test_ranking_losses_are_balanced(kind):
    head = Head({'type': kind, 'use_sigmoid': True})
    runner, hook = runner_of(nn.ModuleDict({'bbox_head': head})), GradientBalanceHook(interval=1)
    hook.before_train(runner)
    targets = one_hot().to(torch.int8)
    targets[1] = -1  # an ignored prior is on neither side
    box_losses = RANKING[kind](int((targets == 1).sum()))
    ranked = head.loss_cls(head.logits.reshape(-1), targets.reshape(-1), box_losses)
    ranked.loss_cls.backward()
    hook.after_train_iter(runner)
    assert logged(runner)['train/grad_ratio'] == pytest.approx(1, abs=1e-5)
    assert head.logits.grad.abs().sum() > 0


def test_sums_over_the_interval_and_levels():
    head = Head({'type': 'FocalLoss', 'use_sigmoid': True})
    runner, hook = runner_of(nn.ModuleDict({'bbox_head': head})), GradientBalanceHook(interval=2)
    sums = torch.zeros(2)
    for factor in (1.0, 3.0):
        for rows in (slice(0, 2), slice(2, None)):
            loss = factor * head.loss_cls(head.logits[rows], LABELS[rows], avg_factor=1)
            (grad,) = torch.autograd.grad(loss, head.logits)
            positive = one_hot()
            sums += torch.stack([grad.abs()[positive].sum(), grad.abs()[~positive].sum()])
    hook.before_train(runner)
    for runner.iter, factor in enumerate((1.0, 3.0)):
        levels = [
            head.loss_cls(head.logits[rows], LABELS[rows], avg_factor=1)
            for rows in (slice(0, 2), slice(2, None))
        ]
        (factor * sum(levels)).backward()
        hook.after_train_iter(runner)
        assert len(logged(runner)) == runner.iter
    assert logged(runner)['train/grad_ratio'] == pytest.approx((sums[0] / sums[1]).item(), rel=1e-5)


def test_several_losses_get_names_that_are_not_added_to_the_loss():
    model = nn.ModuleDict(
        {
            'rpn_head': Head({'type': 'FocalLoss', 'use_sigmoid': True}),
            'roi_head': nn.ModuleDict({'bbox_head': Head({'type': 'CrossEntropyLoss'}, 4)}),
        }
    )
    runner, hook = runner_of(model), GradientBalanceHook(interval=1)
    hook.before_train(runner)
    for head in (model['rpn_head'], model['roi_head']['bbox_head']):
        head.loss_cls(head.logits, LABELS).backward()
    hook.after_train_iter(runner)
    names = set(logged(runner))
    assert names == {'train/rpn_head.grad_ratio', 'train/roi_head.bbox_head.grad_ratio'}
    assert not any('loss' in name for name in names)


def test_overflowing_steps_and_evaluation_do_not_count():
    head = Head({'type': 'FocalLoss', 'use_sigmoid': True})
    runner, hook = runner_of(nn.ModuleDict({'bbox_head': head})), GradientBalanceHook(interval=1)
    expected = by_hand(head, head.loss_cls(head.logits, LABELS), one_hot())
    hook.before_train(runner)
    (head.loss_cls(head.logits, LABELS) * float('inf')).backward()
    with torch.no_grad():
        head.loss_cls(head.logits, LABELS)
    head.loss_cls(head.logits, LABELS).backward()
    hook.after_train_iter(runner)
    assert logged(runner)['train/grad_ratio'] == pytest.approx(expected, rel=1e-6)


def test_stops_listening():
    head = Head({'type': 'FocalLoss', 'use_sigmoid': True})
    runner, hook = runner_of(nn.ModuleDict({'bbox_head': head})), GradientBalanceHook(interval=1)
    hook.before_train(runner)
    hook.after_train(runner)
    assert not head.loss_cls._forward_pre_hooks


def test_model_without_such_a_loss_is_warned_of():
    runner = runner_of(nn.Linear(2, 2))
    GradientBalanceHook().before_train(runner)
    assert 'no part of this model is called loss_cls' in runner.logger.warning.call_args.args[0]
