"""Values and gradients against brute force, over random and adversarial rankings."""

import math

import oracle
import pytest
import torch
from paired import PAIRS, TOLERANCES, assert_matches
from rankings import CASES, random_ranking
from torch import Tensor

from mmdet_alrp.ranking import alrp_loss, average_precision_loss, ndcg_loss

DELTAS = [0.0, 0.5, 1.0, 1e6]

every_case = pytest.mark.parametrize('name', list(CASES))
every_delta = pytest.mark.parametrize('delta', DELTAS)
every_dtype = pytest.mark.parametrize('dtype', list(TOLERANCES), ids=['float64', 'float32'])


def leaf_logits(name: str, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, ...]:
    logits, targets, loc_errors = CASES[name]()
    loc_errors = loc_errors.to(device, dtype).requires_grad_()
    return logits.to(device, dtype).requires_grad_(), targets.to(device), loc_errors


@every_dtype
@every_delta
@every_case
@pytest.mark.parametrize('interpolated', [True, False])
def test_average_precision(name, delta, dtype, interpolated, device):
    logits, targets, _ = leaf_logits(name, dtype, device)
    expected = oracle.average_precision(logits, targets, delta, interpolated)
    loss = average_precision_loss(logits, targets, delta, interpolated)
    assert_matches(loss, logits, expected)


@every_dtype
@every_delta
@every_case
def test_ndcg(name, delta, dtype, device):
    logits, targets, _ = leaf_logits(name, dtype, device)
    assert_matches(ndcg_loss(logits, targets, delta), logits, oracle.ndcg(logits, targets, delta))


@every_dtype
@every_delta
@every_case
def test_alrp_classification(name, delta, dtype, device):
    logits, targets, loc_errors = leaf_logits(name, dtype, device)
    loss_cls, _ = alrp_loss(logits, targets, loc_errors, delta)
    assert_matches(loss_cls, logits, oracle.alrp_cls(logits, targets, loc_errors, delta))


@every_dtype
@every_delta
@every_case
def test_alrp_localisation(name, delta, dtype, device):
    """The value is the weighted sum of E(k), the weights one admissible reading of ties."""
    logits, targets, loc_errors = leaf_logits(name, dtype, device)
    _, loss_loc = alrp_loss(logits, targets, loc_errors, delta)
    (weights,) = torch.autograd.grad(loss_loc, loc_errors)
    assert weights.dtype == loc_errors.dtype
    weights = weights.double().cpu()
    value = (weights * loc_errors.detach().double().cpu()).sum().item()
    assert math.isclose(loss_loc.item(), value, abs_tol=TOLERANCES[dtype])

    pos_logits = logits.detach()[targets == 1].cpu()
    found = oracle.sort_inside_ties(weights, pos_logits)
    readings = oracle.admissible_loc_weights(logits, targets, delta)
    scale = max([w.max().item() for w in readings if w.numel()], default=0.0)
    errors = [(found - w).abs().max().item() if w.numel() else 0.0 for w in readings]
    assert min(errors) <= TOLERANCES[dtype] * scale + 1e-15, f'errors {errors} at {scale:.3g}'


@every_dtype
@pytest.mark.parametrize('name', list(PAIRS))
def test_outliers_cost_the_others_no_digit(name, dtype, device):
    """Far from every ramp rounding would leave a slope, and behind a long gap large sums."""
    logits, targets, of_positives = random_ranking(20, 60, seed=8)
    for target, outliers in ((0, [1e30, 1e25, 1e15, -1e30]), (1, [-3e7, 3e7])):
        places = (targets == target).nonzero().squeeze(1)[: len(outliers)]
        logits[places] = torch.tensor(outliers, dtype=torch.float64)
    logits = logits.to(device, dtype).requires_grad_()
    of_positives = of_positives.to(device, dtype)
    args = (logits, targets.to(device), of_positives, 0.7)
    assert_matches(PAIRS[name].ours(*args), logits, PAIRS[name].brute_force(*args))


@pytest.mark.parametrize('seed', range(6))
@every_delta
def test_random_sizes(delta, seed):
    gen = torch.Generator().manual_seed(100 + seed)
    num_pos, num_neg = torch.randint(1, 90, (2,), generator=gen).tolist()
    scale = 10 ** (4 * torch.rand(1, generator=gen).item() - 2)
    logits, targets, loc_errors = random_ranking(num_pos, num_neg, seed, scale=scale)
    logits.requires_grad_()
    loss_cls, _ = alrp_loss(logits, targets, loc_errors, delta)
    assert_matches(loss_cls, logits, oracle.alrp_cls(logits, targets, loc_errors, delta))
    assert_matches(
        average_precision_loss(logits, targets, delta),
        logits,
        oracle.average_precision(logits, targets, delta),
    )
    assert_matches(ndcg_loss(logits, targets, delta), logits, oracle.ndcg(logits, targets, delta))


@every_dtype
@pytest.mark.parametrize('delta', [0.3, 0.7])
@pytest.mark.parametrize('centre', [-4.6, 3e4])
def test_ends_of_ramps_that_float32_cannot_hold(centre, delta, dtype, device):
    """At 3e4 neighbours in float32 are .002 apart: s_i +- delta must not be rounded to them."""
    logits, targets, loc_errors = random_ranking(10, 60, seed=9, scale=1.0)
    logits = (logits + centre).to(device, dtype).requires_grad_()
    targets, loc_errors = targets.to(device), loc_errors.to(device, dtype)
    loss_cls, _ = alrp_loss(logits, targets, loc_errors, delta)
    assert_matches(loss_cls, logits, oracle.alrp_cls(logits, targets, loc_errors, delta))


def dense_alrp(logits: Tensor, targets: Tensor, loc_errors: Tensor, delta: float):
    """The definitions as matrices, one block of positives at a time to bound the memory."""
    pos, neg = logits[targets == 1], logits[targets == 0]
    count = len(pos)
    loss, grad, grad_pos = 0.0, torch.zeros_like(neg), torch.zeros_like(pos)
    for start in range(0, count, 250):
        mine = slice(start, start + 250)

        def step(others: Tensor, mine: slice = mine) -> Tensor:
            diff = others[None] - pos[mine, None]
            if delta == 0:
                return (diff >= 0).double()
            return (diff / (2 * delta) + 0.5).clamp(0, 1)

        among = step(pos)
        among[torch.arange(len(pos[mine])), torch.arange(count)[mine]] = 0
        above = step(neg)
        num_fp = above.sum(1)
        rank = 1 + among.sum(1) + num_fp
        surplus = (num_fp + among @ loc_errors) / rank * (num_fp > 0) / count
        loss += (num_fp / rank).sum().item() / count
        grad_pos[mine] = -surplus
        grad += (surplus / num_fp.clamp(min=1e-300)) @ above
    out = torch.zeros_like(logits)
    out[targets == 1], out[targets == 0] = grad_pos, grad
    return oracle.Expected(loss, out)


@every_dtype
@pytest.mark.parametrize('delta', [0.0, 1.0])
def test_large_ranking_against_matrices(delta, dtype, device):
    logits, targets, loc_errors = random_ranking(2000, 20000, seed=7, num_ignored=500)
    logits = logits.to(dtype)
    loc_errors = loc_errors.to(dtype)
    expected = dense_alrp(logits.double(), targets, loc_errors.double(), delta)
    logits = logits.to(device).requires_grad_()
    loss_cls, _ = alrp_loss(logits, targets.to(device), loc_errors.to(device), delta)
    assert_matches(loss_cls, logits, expected)


@pytest.mark.parametrize('delta', [0.0, 1.0])
def test_matrices_agree_with_the_loops(delta):
    case = random_ranking(30, 200, seed=8)
    dense, loops = dense_alrp(*case, delta), oracle.alrp_cls(*case, delta)
    assert math.isclose(dense.loss, loops.loss, rel_tol=1e-12)
    torch.testing.assert_close(dense.grad, loops.grad, rtol=1e-12, atol=1e-15)
