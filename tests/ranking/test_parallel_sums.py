"""Running sums as a GPU takes them: each entry adds up its summands in an order of its own."""

import pytest
import torch
from paired import PAIRS, assert_matches
from rankings import random_ranking

from mmdet_alrp.ranking import segments

every_loss = pytest.mark.parametrize('name', list(PAIRS))


@pytest.fixture(autouse=True)
def parallel_sums(monkeypatch):
    """Take sums in parallel, and refuse torch's own of floats, which vary on a GPU."""
    own_cumsum = torch.Tensor.cumsum

    def cumsum(values, dim):
        assert not values.is_floating_point(), 'torch has no reproducible sums of these on a GPU'
        return own_cumsum(values, dim)

    monkeypatch.setattr(torch.Tensor, 'cumsum', cumsum)
    monkeypatch.setattr(
        segments, 'varies_from_run_to_run', lambda values: values.is_floating_point()
    )


@every_loss
@pytest.mark.parametrize('error_skew', [0.0, 2.0])
def test_rounding_puts_no_negative_above_a_positive(name, error_skew):
    """Where no negative is on a ramp, what stands on both sides of it must cancel."""
    for seed in range(8):
        logits, targets, of_positives = random_ranking(60, 20, seed, scale=10.0)
        logits.requires_grad_()
        loss = PAIRS[name].ours(logits, targets, of_positives, 1.0, error_skew=error_skew)
        expected = PAIRS[name].brute_force(
            logits, targets, of_positives, 1.0, error_skew=error_skew
        )
        assert_matches(loss, logits, expected)


@every_loss
@pytest.mark.parametrize('delta', [0.0, 1.0])
@pytest.mark.parametrize('num_images', [None, 1])
def test_reproducible_sums_give_the_same_losses(name, delta, num_images):
    logits, targets, of_positives = random_ranking(7, 40, step=0.5)
    logits.requires_grad_()
    images = None if num_images is None else torch.zeros_like(targets)
    loss = PAIRS[name].ours(
        logits, targets, of_positives, delta, images=images, num_images=num_images
    )
    assert_matches(loss, logits, PAIRS[name].brute_force(logits, targets, of_positives, delta))


@pytest.mark.parametrize('count', [0, 1, 2, 3, 8, 13])
def test_running_sums(count):
    values = torch.arange(1.0, count + 1)
    expected = torch.tensor([k * (k + 1) / 2 for k in range(1, count + 1)])
    torch.testing.assert_close(segments.running_sums(values), expected, rtol=0, atol=0)
    torch.testing.assert_close(values, torch.arange(1.0, count + 1))
