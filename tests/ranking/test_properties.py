"""What holds for every ranking: Theorem 2, invariances, separation of the two gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from paired import PAIRS, value_and_grad
from rankings import random_ranking
from torch import Tensor

from mmdet_alrp.ranking import alrp_loss

LOSSES = [name for name in PAIRS if name != 'rs sort']  # its gradients are among positives

every_loss = pytest.mark.parametrize('name', LOSSES)
every_part = pytest.mark.parametrize('name', list(PAIRS))
every_delta = pytest.mark.parametrize('delta', [0.0, 0.5, 1.0, 1e3])


def run(name: str, logits: Tensor, targets: Tensor, loc_errors: Tensor, delta: float):
    return value_and_grad(name, (logits, targets, loc_errors), delta)


@st.composite
def rankings(draw: st.DrawFn):
    """Grid values as often as real ones, so that ties and ends of ramps are common."""
    on_grid = st.integers(-12, 12).map(lambda k: k / 4)
    scores = st.floats(-1e4, 1e4, allow_nan=False, width=32) | on_grid
    entries = draw(st.lists(st.tuples(scores, st.sampled_from([1, 0, 0, -1])), max_size=40))
    logits = torch.tensor([s for s, _ in entries], dtype=torch.float64)
    targets = torch.tensor([t for _, t in entries], dtype=torch.long)
    count = int((targets == 1).sum())
    errors = st.floats(0, 1, allow_nan=False)
    loc = draw(st.lists(errors, min_size=count, max_size=count))
    return logits, targets, torch.tensor(loc, dtype=torch.float64)


@every_loss
@settings(max_examples=120, deadline=None, derandomize=True)
@given(case=rankings(), delta=st.sampled_from([0.0, 0.25, 0.5, 1.0, 7.0, 1e5]))
def test_theorem_2(name, case, delta):
    """Positives are pushed up by as much as negatives are pushed down; the ignored stay."""
    logits, targets, loc_errors = case
    loss, grad = run(name, logits, targets, loc_errors, delta)
    assert torch.isfinite(grad).all()
    # 1 - mean and 1 - sum may land a rounding below 0.
    assert -1e-12 <= loss.item() < 1 + 1e-12
    up, down = grad[targets == 1], grad[targets == 0]
    assert (up <= 0).all() and (down >= 0).all()
    assert (grad[targets == -1] == 0).all()
    torch.testing.assert_close(down.sum(), -up.sum(), rtol=1e-9, atol=1e-12)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(case=rankings(), delta=st.sampled_from([0.0, 0.5, 1.0]))
def test_alrp_stays_in_the_unit_interval(case, delta):
    loss_cls, loss_loc = alrp_loss(*case, delta)
    assert 0 <= loss_cls.item() < 1
    assert loss_loc.item() >= 0
    if delta == 0:  # with a ramp, the hard step of loss_loc may outgrow the smooth rank
        assert (loss_cls + loss_loc).item() <= 1 + 1e-12


@every_part
@every_delta
def test_shift_of_all_logits_changes_nothing(name, delta):
    logits, targets, loc_errors = random_ranking(12, 90, seed=11)
    loss, grad = run(name, logits, targets, loc_errors, delta)
    moved_loss, moved_grad = run(name, logits + 3.7, targets, loc_errors, delta)
    torch.testing.assert_close(moved_loss, loss, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(moved_grad, grad, rtol=1e-9, atol=1e-12)


@every_part
@every_delta
def test_permutation_permutes_the_gradient(name, delta):
    logits, targets, loc_errors = random_ranking(12, 90, seed=12)
    errors_at = torch.zeros_like(logits)
    errors_at[targets == 1] = loc_errors
    order = torch.randperm(len(logits), generator=torch.Generator().manual_seed(0))
    loss, grad = run(name, logits, targets, loc_errors, delta)
    shuffled = targets[order]
    errors = errors_at[order][shuffled == 1]
    new_loss, new_grad = run(name, logits[order], shuffled, errors, delta)
    torch.testing.assert_close(new_loss, loss, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(new_grad, grad[order], rtol=1e-10, atol=1e-14)


@every_part
def test_logits_and_delta_scale_together(name):
    logits, targets, loc_errors = random_ranking(12, 90, seed=13)
    loss, grad = run(name, logits, targets, loc_errors, 0.5)
    new_loss, new_grad = run(name, 8 * logits, targets, loc_errors, 4.0)
    torch.testing.assert_close(new_loss, loss, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(new_grad, grad, rtol=1e-10, atol=1e-14)


@every_part
@pytest.mark.parametrize('delta', [0.0, 0.5])
def test_negatives_below_every_ramp_have_no_effect(name, delta):
    logits, targets, loc_errors = random_ranking(5, 200, seed=14)
    lowest = logits[targets == 1].min() - delta
    dead = (targets == 0) & (logits < lowest)
    assert dead.any()
    loss, grad = run(name, logits, targets, loc_errors, delta)
    new_loss, new_grad = run(name, logits[~dead], targets[~dead], loc_errors, delta)
    assert (grad[dead] == 0).all()
    torch.testing.assert_close(new_loss, loss, rtol=1e-12, atol=1e-14)
    torch.testing.assert_close(new_grad, grad[~dead], rtol=1e-10, atol=1e-14)


@every_loss
@pytest.mark.parametrize('delta', [0.0, 0.5, 1.0])
def test_positives_above_all_negatives_cost_nothing(name, delta):
    logits, targets, loc_errors = random_ranking(10, 90, seed=15)
    gap = logits.max() - logits.min() + delta + 0.1
    loss, grad = run(name, logits + gap * (targets == 1), targets, loc_errors, delta)
    assert (grad == 0).all()
    if name == 'ndcg' and delta > 0:  # smooth ranks of the positives are not 1, 2, 3, ...
        return
    assert abs(loss.item()) <= 1e-12


@every_delta
def test_each_alrp_loss_moves_its_own_input_only(delta):
    logits, targets, loc_errors = random_ranking(9, 60, seed=16)
    logits.requires_grad_()
    loc_errors.requires_grad_()
    loss_cls, loss_loc = alrp_loss(logits, targets, loc_errors, delta)
    for loss, other in ((loss_cls, loc_errors), (loss_loc, logits)):
        (grad,) = torch.autograd.grad(loss, other, retain_graph=True, allow_unused=True)
        assert grad is None or (grad == 0).all()
    (on_logits,) = torch.autograd.grad(loss_cls, logits, retain_graph=True)
    (on_errors,) = torch.autograd.grad(loss_loc, loc_errors)
    assert (on_logits != 0).any() and (on_errors > 0).all()


@every_delta
def test_gradcheck_of_loss_loc(delta):
    logits, targets, loc_errors = random_ranking(9, 60, seed=17)
    assert torch.autograd.gradcheck(
        lambda e: alrp_loss(logits, targets, e, delta)[1], loc_errors.requires_grad_()
    )
