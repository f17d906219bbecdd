"""Sums in bins as a GPU takes them: whole numbers in copies of each bin."""

import math

import pytest
import torch
from paired import PAIRS, assert_matches, value_and_grad
from rankings import CASES, batch_of, random_ranking

from mmdet_alrp.ranking import split_sums, step_sums

every_loss = pytest.mark.parametrize('name', list(PAIRS))


@pytest.fixture
def in_copies(monkeypatch):
    monkeypatch.setattr(step_sums, 'counts_in_copies', lambda device: True)


@pytest.mark.parametrize('count', [0, 1, 63, 64, 65, 1000, 5000])
@pytest.mark.parametrize('block', [64, 2**22])
@pytest.mark.parametrize('num_bins', [1, 7])
def test_sums_are_those_of_a_loop(count, block, num_bins, monkeypatch):
    monkeypatch.setattr(split_sums, 'BLOCK', block)
    gen = torch.Generator().manual_seed(count)
    bins = torch.randint(num_bins, (count,), generator=gen, dtype=torch.int32)
    values = torch.randn(count, generator=gen, dtype=torch.float64) * 1e3
    owners = bins.tolist()
    assert split_sums.bin_counts(bins, num_bins).tolist() == [
        owners.count(b) for b in range(num_bins)
    ]
    found = split_sums.bin_sums(bins, values, num_bins).tolist()
    for b in range(num_bins):
        summands = [v for v, owner in zip(values.tolist(), owners, strict=True) if owner == b]
        bound = 1e-15 * 4e3 * max(1, count)
        assert math.isclose(found[b], math.fsum(summands), rel_tol=0, abs_tol=bound)


def test_the_order_of_the_summands_changes_no_bit():
    gen = torch.Generator().manual_seed(3)
    bins = torch.randint(3, (5000,), generator=gen)
    values = torch.rand(5000, generator=gen) * 10 ** (12 * torch.rand(5000, generator=gen))
    order = torch.randperm(5000, generator=gen)
    assert torch.equal(
        split_sums.bin_sums(bins, values, 3), split_sums.bin_sums(bins[order], values[order], 3)
    )


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_seen(bad):
    values = torch.ones(100)
    values[7] = bad
    assert not split_sums.bin_sums(torch.zeros(100, dtype=torch.int64), values, 1).isfinite().any()


@pytest.mark.parametrize(('delta', 'error_skew'), [(0.0, 2.0), (1.0, 0.0)])
@pytest.mark.parametrize('case', list(CASES))
@every_loss
def test_against_brute_force(name, case, error_skew, delta, in_copies):
    logits, targets, of_positives = CASES[case]()
    logits.requires_grad_()
    loss = PAIRS[name].ours(logits, targets, of_positives, delta, error_skew=error_skew)
    expected = PAIRS[name].brute_force(logits, targets, of_positives, delta, error_skew=error_skew)
    assert_matches(loss, logits, expected)


@pytest.mark.parametrize('centre', [-4.6, 3e4])
@pytest.mark.parametrize('delta', [1e-4, 0.3])
def test_ramps_below_the_distance_of_neighbours_in_float32(centre, delta, in_copies):
    logits, targets, of_positives = random_ranking(10, 60, seed=9)
    logits = (logits + centre).float().requires_grad_()
    loss = PAIRS['alrp'].ours(logits, targets, of_positives, delta)
    assert_matches(loss, logits, PAIRS['alrp'].brute_force(logits, targets, of_positives, delta))


@pytest.mark.parametrize('delta', [0.0, 0.5])
@every_loss
def test_many_values_in_few_bins_and_one_ranking_an_image(name, delta, monkeypatch):
    case, images = batch_of([(6, 4000), (0, 90), (9, 3000)], seed=4)
    options = {'images': images, 'num_images': 3}
    plain = value_and_grad(name, case, delta, **options)
    monkeypatch.setattr(step_sums, 'counts_in_copies', lambda device: True)
    found = value_and_grad(name, case, delta, **options)
    torch.testing.assert_close(found, plain, rtol=1e-10, atol=1e-14)
