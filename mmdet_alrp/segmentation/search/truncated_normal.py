"""The normal distribution cut off at 0 and 1, from which a policy draws its samples."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_ROOT_2 = math.sqrt(2)
_LOG_ROOT_2_PI = math.log(2 * math.pi) / 2


class TruncatedNormal:
    """Independent normal variables that are conditioned on lying in [0, 1].

    Convention:
        The mean is that of the parent, which lies in [0, 1] itself. What the cut leaves is then a
        sum of two positive values of erf: exact wherever the mean and however small sigma is.

    Args:
        mean: Means of the parent, in [0, 1], shape (size,), floating point; gradients reach it
            through :meth:`log_prob`, not through samples.
        sigma: Standard deviation of the parent.

    Raises:
        ValueError: If a mean is outside [0, 1] or sigma is no number > 0.

    Reference:
        Burkardt, The truncated normal distribution, 2014, as cited by Li et al., ICLR 2021,
        arXiv:2010.07930, Sec. 4.3.
    """

    def __init__(self, mean: Tensor, sigma: float) -> None:
        if not bool(((mean >= 0) & (mean <= 1)).all()):
            raise ValueError(f'mean must be in [0, 1], got {mean.tolist()}')
        if not 0 < sigma < math.inf:
            raise ValueError(f'sigma must be > 0, got {sigma!r}')
        self.mean = mean
        self.sigma = sigma

    def log_prob(self, values: Tensor) -> Tensor:
        """Logarithm of the density, variable by variable.

        Args:
            values: Where to take it, shape (..., size).

        Returns:
            Shape (..., size); minus infinity outside [0, 1].
        """
        distance = (values - self.mean) / self.sigma
        mass = (torch.erf(self._scaled(1)) - torch.erf(self._scaled(0))) / 2
        density = -(distance**2) / 2 - _LOG_ROOT_2_PI - math.log(self.sigma) - mass.log()
        return density.masked_fill((values < 0) | (values > 1), -math.inf)

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw by inverting the distribution function.

        Args:
            count: How many values of each variable.
            generator: Where all randomness comes from; one call takes ``count * size`` numbers.

        Returns:
            Values in [0, 1], shape (count, size), of the mean's dtype.
        """
        low, high = torch.erf(self._scaled(0)), torch.erf(self._scaled(1))
        shape = (count, *self.mean.shape)
        share = torch.rand(shape, generator=generator, dtype=self.mean.dtype)
        places = torch.erfinv(low + share * (high - low))
        return (self.mean + self.sigma * _ROOT_2 * places).clamp(0, 1)

    def _scaled(self, bound: float) -> Tensor:
        return (bound - self.mean) / (self.sigma * _ROOT_2)
