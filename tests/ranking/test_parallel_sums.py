"""Running sums as a GPU takes them: each entry adds up its summands in an order of its own."""

import pytest
import torch
from paired import PAIRS, assert_matches
from rankings import random_ranking

OWN_CUMSUM = torch.Tensor.cumsum


def parallel_cumsum(values, dim):
    if not values.is_floating_point():
        return OWN_CUMSUM(values, dim)
    stride = 1
    while stride < len(values):
        values = torch.cat([values[:stride], values[stride:] + values[:-stride]])
        stride *= 2
    return values.clone()


@pytest.mark.parametrize('name', list(PAIRS))
@pytest.mark.parametrize('error_skew', [0.0, 2.0])
def test_rounding_puts_no_negative_above_a_positive(name, error_skew, monkeypatch):
    """Where no negative is on a ramp, what stands on both sides of it must cancel."""
    monkeypatch.setattr(torch.Tensor, 'cumsum', parallel_cumsum)
    for seed in range(8):
        logits, targets, of_positives = random_ranking(60, 20, seed, scale=10.0)
        logits.requires_grad_()
        options = {'error_skew': error_skew} if name != 'rs sort' else {}
        loss = PAIRS[name].ours(logits, targets, of_positives, 1.0, **options)
        expected = PAIRS[name].brute_force(logits, targets, of_positives, 1.0, **options)
        assert_matches(loss, logits, expected)
