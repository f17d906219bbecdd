"""The policy that proximal policy optimisation (PPO) improves: a truncated normal with one mean."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .truncated_normal import TruncatedNormal

_HIGHEST_LOG_RATIO = 50.0


class Policy:
    """Truncated normal on [0, 1] whose mean is learnt and whose sigma is fixed.

    Convention:
        The logits of the mean are what the optimiser moves, in float64 on the CPU, so the mean
        stays in [0, 1].

    Args:
        start: Mean at the beginning, all in (0, 1).
        sigma: Standard deviation of the parent normal.
    """

    def __init__(self, start: Sequence[float], sigma: float) -> None:
        self.logits = torch.tensor(start, dtype=torch.float64).logit().requires_grad_()
        self.sigma = sigma
        self._adam: torch.optim.Adam | None = None

    @property
    def mean(self) -> Tensor:
        """Mean of the parent, shape (size,), connected to the logits."""
        return self.logits.sigmoid()

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw samples, shape (count, size).

        Args:
            count: How many.
            generator: Where all randomness comes from.
        """
        return TruncatedNormal(self.mean.detach(), self.sigma).sample(count, generator)

    def log_prob(self, samples: Tensor) -> Tensor:
        """Log-density of each number of each sample, shape of ``samples``, (count, size)."""
        return TruncatedNormal(self.mean, self.sigma).log_prob(samples)

    def improve(
        self,
        samples: Tensor,
        advantages: Tensor,
        clip: float,
        updates: int,
        lr: float,
        ratio: str = 'joint',
        keep_adam: bool = False,
    ) -> None:
        """Climb the clipped objective from where the samples were drawn.

        Args:
            samples: What this policy drew last, shape (count, size).
            advantages: Rewards above the baseline, shape (count,).
            clip: How far a ratio of densities may go from 1 and still earn, in (0, 1).
            updates: Steps of Adam.
            lr: Its learning rate, on the logits of the mean.
            ratio: 'joint', one ratio a sample, or 'parameter', one for each of its numbers.
            keep_adam: Go on with the moments of the calls before; without it Adam starts anew,
                since what is climbed is this round's objective.
        """
        before = self.log_prob(samples).detach()
        if self._adam is None or not keep_adam:
            self._adam = torch.optim.Adam([self.logits], lr=lr)
        for _ in range(updates):
            log_ratio = self.log_prob(samples) - before
            if ratio == 'joint':
                log_ratio = log_ratio.sum(1, keepdim=True)
            self._adam.zero_grad()
            (-clipped_objective(log_ratio, advantages[:, None], clip)).backward()
            self._adam.step()


def clipped_objective(log_ratio: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """PPO's objective: the smaller of plain and clipped ratio times advantage.

    Args:
        log_ratio: Log-density now less that at the time of sampling, shape (count, n).
        advantages: Shape (count, 1).
        clip: Ratios beyond 1 - clip and 1 + clip earn nothing more.

    Returns:
        Mean over the samples of the sum over n, a scalar.

    Reference:
        Schulman et al., 2017, arXiv:1707.06347, Eq. 7.
    """
    # The smaller product: of gains the ratio from above, of losses the ratio from below. Bounds on
    # the logarithm, and one more far away, keep the gradient from 0 * infinity.
    gained = log_ratio.clamp(max=math.log1p(clip))
    lost = log_ratio.clamp(math.log1p(-clip), _HIGHEST_LOG_RATIO)
    ratios = torch.where(advantages > 0, gained, lost).exp()
    return (ratios * advantages).sum(1).mean()
