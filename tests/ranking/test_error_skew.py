"""Error distributions skewed to hard negatives: p(j|i) proportional to sigmoid(s_j)**g H(x_ij)."""

import math

import oracle
import pytest
import torch
from paired import PAIRS, assert_matches, value_and_grad
from rankings import CASES, random_ranking

from mmdet_alrp.ranking import alrp_loss, average_precision_loss

SKEWED = [name for name in PAIRS if name != 'rs sort']  # sorting has no negatives
every_loss = pytest.mark.parametrize('name', SKEWED)
every_delta = pytest.mark.parametrize('delta', [0.0, 0.5, 1.0])
SHAPES = ['no positive', 'no negative', 'one and one', 'few positives', 'few negatives']
SHAPES += ['mostly ignored', 'one positive', 'ties', 'many ties', 'all equal', 'spread 1e-2']
SHAPES += ['positives far above', 'positives far below', 'ends of ramps', 'barely inside']


@pytest.mark.parametrize(
    ('delta', 'error_skew', 'dtype'),
    [
        (0.0, 0.5, torch.float32),
        (0.0, 3.0, torch.float64),
        (0.5, 1.0, torch.float32),
        (1.0, 0.5, torch.float64),
        (1.0, 3.0, torch.float32),
    ],
    ids=str,
)
@pytest.mark.parametrize('shape', SHAPES)
@every_loss
def test_against_brute_force(name, delta, shape, error_skew, dtype, device):
    logits, targets, of_positives = CASES[shape]()
    logits = logits.to(device, dtype).requires_grad_()
    of_positives = of_positives.to(device, dtype)
    ours, brute_force = PAIRS[name]
    loss = ours(logits, targets.to(device), of_positives, delta, error_skew=error_skew)
    expected = brute_force(logits, targets, of_positives, delta, error_skew=error_skew)
    assert_matches(loss, logits, expected)


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32])
@pytest.mark.parametrize('error_skew', [0.5, 2.0])
@every_loss
def test_scores_from_one_end_of_the_sigmoid_to_the_other(name, error_skew, dtype):
    logits, targets, of_positives = random_ranking(20, 150, seed=51, scale=12.0)
    logits = logits.clamp(-30, 30).to(dtype).requires_grad_()
    ours, brute_force = PAIRS[name]
    loss = ours(logits, targets, of_positives.to(dtype), 1.0, error_skew=error_skew)
    expected = brute_force(logits, targets, of_positives.to(dtype), 1.0, error_skew=error_skew)
    assert_matches(loss, logits, expected)


@pytest.mark.parametrize('centre', [-1e4, 1e4])
@every_loss
def test_sigmoids_that_underflow(name, centre):
    """sigmoid(-1e4) is 0 in floating point; the shares are ratios of it and are not."""
    logits, targets, of_positives = random_ranking(10, 60, seed=52)
    logits = (logits + centre).requires_grad_()
    ours, brute_force = PAIRS[name]
    loss = ours(logits, targets, of_positives, 1.0, error_skew=1.0)
    expected = brute_force(logits, targets, of_positives, 1.0, error_skew=1.0)
    assert_matches(loss, logits, expected)


@every_delta
@every_loss
def test_no_skew_is_the_default(name, delta):
    case = random_ranking(12, 90, seed=53)
    plain = value_and_grad(name, case, delta)
    found = value_and_grad(name, case, delta, error_skew=0.0)
    torch.testing.assert_close(found, plain, rtol=1e-12, atol=1e-15)


@every_delta
@every_loss
def test_value_stays_and_gradients_cancel(name, delta):
    case = random_ranking(12, 90, seed=54)
    loss, grad = value_and_grad(name, case, delta)
    skewed_loss, skewed = value_and_grad(name, case, delta, error_skew=2.0)
    is_pos, is_neg = case[1] == 1, case[1] == 0
    torch.testing.assert_close(skewed_loss, loss, rtol=1e-12, atol=0)
    torch.testing.assert_close(skewed[is_pos], grad[is_pos], rtol=1e-10, atol=1e-15)
    torch.testing.assert_close(skewed[is_neg].sum(), grad[is_neg].sum())
    assert (skewed[is_neg] >= 0).all() and (skewed[case[1] == -1] == 0).all()
    # Hard negatives carry more than before, easy ones less.
    order = case[0][is_neg].argsort(descending=True)
    tenth = order[: len(order) // 10]
    assert skewed[is_neg][tenth].sum() > grad[is_neg][tenth].sum()


def test_by_hand():
    """One positive at 0 below negatives at 0 and log 3, whose sigmoids are 1/2 and 3/4."""
    logits = torch.tensor([0.0, 0.0, math.log(3)], dtype=torch.float64, requires_grad=True)
    loss = average_precision_loss(logits, torch.tensor([1, 0, 0]), 0.0, error_skew=1.0)
    (grad,) = torch.autograd.grad(loss, logits)
    assert grad.tolist() == pytest.approx([-2 / 3, 2 / 3 * 2 / 5, 2 / 3 * 3 / 5], abs=1e-12)


@every_loss
def test_one_ranking_an_image(name):
    logits, targets, of_positives = random_ranking(20, 120, seed=55)
    images = torch.arange(len(logits)) % 4
    logits.requires_grad_()
    ours, brute_force = PAIRS[name]
    case = (logits, targets, of_positives)
    loss = ours(*case, 0.5, error_skew=1.5, images=images, num_images=5)
    expected = oracle.one_ranking_an_image(
        lambda *part: brute_force(*part, 0.5, error_skew=1.5), case, images, 5
    )
    assert_matches(loss, logits, expected)


def test_boxes_know_nothing_of_it():
    logits, targets, loc_errors = random_ranking(20, 120, seed=56)
    plain = alrp_loss(logits, targets, loc_errors)[1]
    assert alrp_loss(logits, targets, loc_errors, error_skew=2.0)[1].item() == plain.item()


@every_loss
@pytest.mark.parametrize('error_skew', [-0.5, float('nan'), float('inf')])
def test_bad_skew(name, error_skew):
    case = (torch.zeros(2), torch.tensor([1, 0]), torch.zeros(1))
    with pytest.raises(ValueError, match='error_skew'):
        PAIRS[name].ours(*case, 1.0, error_skew=error_skew)
