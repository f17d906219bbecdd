"""The truncated normal against SciPy's."""

import numpy as np
import pytest
import torch
from scipy import stats

from mmdet_alrp.segmentation.search import TruncatedNormal

SIGMAS = [0.005, 0.05, 0.2, 1.0, 30.0]
MEANS = [0.0, 1e-9, 0.003, 0.2, 0.5, 0.9, 1 - 1e-9, 1.0]
VALUES = [0.0, 1e-12, 0.01, 0.3, 0.5, 0.75, 0.999, 1.0]


def reference(mean: float, sigma: float):
    return stats.truncnorm(-mean / sigma, (1 - mean) / sigma, loc=mean, scale=sigma)


def tensor(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@pytest.mark.parametrize('sigma', SIGMAS)
def test_log_densities_are_scipys_into_the_tails(sigma):
    found = TruncatedNormal(tensor(MEANS), sigma).log_prob(tensor(VALUES)[:, None])
    expected = [[reference(mean, sigma).logpdf(value) for mean in MEANS] for value in VALUES]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)
    assert found.min() < -10000 or sigma > 0.01


def test_outside_0_and_1_is_no_density():
    found = TruncatedNormal(tensor([0.5]), 0.2).log_prob(tensor([[-1e-9], [1 + 1e-9]]))
    assert torch.isneginf(found).all()


@pytest.mark.parametrize('sigma', SIGMAS)
def test_a_density_adds_up_to_1(sigma):
    values = torch.linspace(0, 1, 200_001, dtype=torch.float64)[:, None]
    density = TruncatedNormal(tensor(MEANS), sigma).log_prob(values).exp()
    total = torch.trapezoid(density, values, dim=0)
    torch.testing.assert_close(total, torch.ones_like(total), rtol=0, atol=1e-4)


@pytest.mark.parametrize('sigma', SIGMAS)
def test_the_gradient_on_the_mean_is_that_of_the_formula(sigma):
    mean = tensor(MEANS).requires_grad_()
    values = tensor(VALUES)[:, None].expand(-1, len(MEANS))
    (found,) = torch.autograd.grad(TruncatedNormal(mean, sigma).log_prob(values).sum(), mean)
    # d/dm log(pdf((x - m) / s) / s / Z) with Z = cdf(b) - cdf(a), a = -m / s, b = (1 - m) / s
    low, high = -np.array(MEANS) / sigma, (1 - np.array(MEANS)) / sigma
    mass = stats.norm.sf(low) - stats.norm.sf(high)
    slope = (stats.norm.pdf(low) - stats.norm.pdf(high)) / (sigma * mass)
    distances = (np.array(VALUES)[:, None] - MEANS) / sigma**2
    np.testing.assert_allclose(found, (distances - slope).sum(0), rtol=1e-7, atol=1e-8 / sigma**2)


def test_the_gradient_on_the_mean_is_the_derivative():
    mean = tensor([0.02, 0.3, 0.97]).requires_grad_()
    values = tensor([[0.4, 0.1, 0.9], [0.0, 1.0, 0.5]])
    assert torch.autograd.gradcheck(lambda m: TruncatedNormal(m, 0.2).log_prob(values), mean)


@pytest.mark.parametrize('sigma', [0.01, 0.2, 5.0])
def test_samples_are_distributed_as_scipys(sigma):
    means = [0.0, 0.02, 0.5, 0.99, 1.0]
    distribution = TruncatedNormal(tensor(means), sigma)
    samples = distribution.sample(4000, torch.Generator().manual_seed(0))
    assert samples.shape == (4000, 5) and samples.dtype == torch.float64
    assert ((samples >= 0) & (samples <= 1)).all()
    for column, mean in zip(samples.T, means, strict=True):
        assert stats.kstest(column.numpy(), reference(mean, sigma).cdf).pvalue > 0.01
    correlations = np.corrcoef(samples.T.numpy()) - np.eye(len(means))
    assert abs(correlations).max() < 0.06


def test_samples_come_from_the_generator_alone():
    distribution = TruncatedNormal(tensor([0.3, 0.6]).requires_grad_(), 0.2)
    first, again = (distribution.sample(5, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, again) and not first.requires_grad
    assert not torch.equal(first, distribution.sample(5, torch.Generator().manual_seed(8)))


@pytest.mark.parametrize(
    ('mean', 'sigma', 'message'),
    [
        (-0.1, 0.2, 'mean must be in'),
        (1.1, 0.2, 'mean must be in'),
        (float('nan'), 0.2, 'mean must be in'),
        (0.5, 0.0, 'sigma must be > 0'),
        (0.5, float('inf'), 'sigma must be > 0'),
    ],
)
def test_a_wrong_distribution_is_refused_in_one_line(mean, sigma, message):
    with pytest.raises(ValueError, match=message) as caught:
        TruncatedNormal(tensor([mean]), sigma)
    assert '\n' not in str(caught.value)
