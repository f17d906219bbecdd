"""What is not finite in the inputs is seen in the loss, and only what takes part is looked at."""

import math

import pytest
import torch
from paired import PAIRS, value_and_grad
from rankings import random_ranking

from mmdet_alrp.ranking import alrp_loss

# The sum of both parts of Rank & Sort is broken as soon as one is; negatives touch only the first.
every_loss = pytest.mark.parametrize('name', [name for name in PAIRS if name != 'rs sort'])
every_part = pytest.mark.parametrize('name', list(PAIRS))
BAD = [math.nan, math.inf, -math.inf]


def broken_case(target, value, dtype=torch.float32):
    logits, targets, of_positives = random_ranking(9, 60, seed=71)
    logits = logits.to(dtype)
    logits[(targets == target).nonzero()[2]] = value
    return logits, targets, of_positives.to(dtype)


@pytest.mark.parametrize(
    ('dtype', 'delta', 'options'),
    [
        *((dtype, 1.0, {}) for dtype in (torch.float16, torch.float32, torch.float64)),
        (torch.float32, 0.0, {}),
        (torch.float32, 1.0, {'error_skew': 1.0}),
        (torch.float32, 0.0, {'images': True}),
    ],
    ids=str,
)
@pytest.mark.parametrize('value', [math.nan, math.inf])
@pytest.mark.parametrize('target', [1, 0])
@every_loss
def test_broken_logits_are_seen_in_the_loss(name, target, value, dtype, delta, options):
    case = broken_case(target, value, dtype)
    if 'images' in options:
        options = {'images': torch.arange(len(case[0])) % 2, 'num_images': 2}
    loss, grad = value_and_grad(name, case, delta, **options)
    assert not torch.isfinite(loss)
    assert not torch.isfinite(grad).all()  # or a loss scaler would go on


@pytest.mark.parametrize('delta', [0.0, 1.0])
@every_loss
def test_a_positive_at_minus_infinity_is_seen_in_the_loss(name, delta):
    loss, _ = value_and_grad(name, broken_case(1, -math.inf), delta)
    assert not torch.isfinite(loss)


@pytest.mark.parametrize('value', BAD)
@pytest.mark.parametrize('delta', [0.0, 1.0])
@every_part
def test_the_ignored_may_be_anything(name, delta, value):
    case = broken_case(-1, 0.0)
    plain = value_and_grad(name, case, delta)
    found = value_and_grad(name, broken_case(-1, value), delta)
    assert torch.isfinite(found[0])
    torch.testing.assert_close(found, plain, rtol=0, atol=0)


@pytest.mark.parametrize('value', [math.nan, math.inf])
@pytest.mark.parametrize('name', ['alrp', 'rs sort'])
def test_broken_boxes_are_seen_in_the_gradient(name, value):
    logits, targets, of_positives = random_ranking(9, 60, seed=72)
    of_positives[4] = value
    _, grad = value_and_grad(name, (logits, targets, of_positives), 1.0)
    assert not torch.isfinite(grad).all()


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_a_broken_box_is_seen_in_the_localisation_part(value):
    logits, targets, loc_errors = random_ranking(9, 60, seed=73)
    loc_errors[4] = value
    assert not torch.isfinite(alrp_loss(logits, targets, loc_errors)[1])
