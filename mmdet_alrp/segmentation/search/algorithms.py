"""Search algorithms: they propose rounds of samples and learn from the rewards.

An algorithm is a function of its settings, seed and rewards: to resume a search, call ``propose``
and ``update`` again with the rewards of the rounds that are done.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .policy import Policy
from .space import SearchSpace

_Sample = tuple[float, ...]
_BASELINES = ('mean', 'centre')
_RATIOS = ('joint', 'parameter')


@dataclass(frozen=True)
class Round:
    """A round that is done.

    Args:
        samples: Numbers in [0, 1], as they were proposed.
        rewards: One a sample, in the same order.
        mean: Mean that the policy drew them around; None without a policy.
    """

    samples: Sequence[Sequence[float]]
    rewards: Sequence[float]
    mean: Sequence[float] | None = None


class SearchAlgorithm:
    """Base of the search algorithms: the protocol of rounds and its checks.

    Args:
        space: What is searched.
        samples: Samples a round.
        seed: Seed of the random stream.

    Raises:
        ValueError: If ``samples`` or ``seed`` is no whole number, at least 1 or 0.
    """

    name = ''

    def __init__(self, space: SearchSpace, samples: int = 32, seed: int = 0) -> None:
        _check_whole('samples', samples, 1)
        _check_whole('seed', seed, 0)
        self.space = space
        self.samples = samples
        self._generator = torch.Generator().manual_seed(seed)
        self._pending: list[_Sample] | None = None

    @property
    def mean(self) -> _Sample | None:
        """Mean that the round proposed last was drawn around, if the algorithm has one."""
        return None

    def propose(self) -> list[_Sample]:
        """Return the samples of the next round, of numbers in [0, 1]; the same until ``update``."""
        if self._pending is None:
            self._pending = [tuple(row) for row in self._draw().tolist()]
        return list(self._pending)

    def update(self, rewards: Sequence[float]) -> None:
        """Learn from the rewards of the samples proposed last.

        Args:
            rewards: One finite number a sample, in the order of the samples.

        Raises:
            RuntimeError: If none are proposed.
            ValueError: If there is not one finite reward for each.
        """
        if self._pending is None:
            raise RuntimeError('propose a round before its rewards are given')
        if len(rewards) != len(self._pending):
            raise ValueError(f'expected {len(self._pending)} rewards, got {len(rewards)}')
        if not all(math.isfinite(reward) for reward in rewards):
            raise ValueError(f'rewards must be finite numbers, got {list(rewards)}')
        self._learn(
            torch.tensor(self._pending, dtype=torch.float64),
            torch.tensor([float(reward) for reward in rewards], dtype=torch.float64),
        )
        self._pending = None

    def winner(self, rounds: Sequence[Round]) -> tuple[_Sample, float]:
        """Choose among the rounds that are done.

        Args:
            rounds: All of them, in their order.

        Returns:
            The sample, and the reward it was chosen by.

        Raises:
            ValueError: If there are none, or an algorithm with a mean gets rounds without one.
        """
        if not rounds:
            raise ValueError('no round is done: there is nothing to choose from')
        return self._choose(rounds)

    def _draw(self) -> torch.Tensor:
        """Samples of a round, float64, shape (samples, size)."""
        raise TypeError('SearchAlgorithm is a base class: use PPO or RandomSearch')

    def _learn(self, samples: torch.Tensor, rewards: torch.Tensor) -> None:
        """Take in the rewards of a round."""

    def _choose(self, rounds: Sequence[Round]) -> tuple[_Sample, float]:
        """Take the best of all samples."""
        scored = [
            (sample, reward)
            for done in rounds
            for sample, reward in zip(done.samples, done.rewards, strict=True)
        ]
        sample, reward = max(scored, key=lambda pair: pair[1])
        return tuple(sample), float(reward)


class RandomSearch(SearchAlgorithm):
    """Samples that are uniform in the space, whatever their rewards; the best one wins."""

    name = 'RandomSearch'

    def _draw(self) -> torch.Tensor:
        shape = self.samples, self.space.size
        return torch.rand(shape, generator=self._generator, dtype=torch.float64)


class PPO(SearchAlgorithm):
    """Proximal policy optimisation (PPO2) of the mean of a truncated normal.

    The mean of the round with the best mean reward wins. The mean after the last update is never
    tried and cannot win.

    Args:
        space: What is searched.
        samples: Samples a round.
        sigma: Standard deviation of the parent normal, in units of a sample, [0, 1].
        clip: How far a ratio of densities may go from 1 and still earn; .1 in the paper, .2 in the
            released settings.
        updates: Steps of Adam a round; 100 in the paper, 60 in the released settings.
        lr: Learning rate of Adam on the logits of the mean; the paper names none, this is the
            released one, for 32 samples a round. With 8 the mean overshoots, far beyond where the
            ratios are clipped: take .05.
        baseline: What is taken off the rewards: 'mean', that of the round, as in the paper, or
            'centre', the reward of the policy's mean, which is then one of the ``samples``, the
            last, as in the released settings.
        ratio: What is clipped: 'joint', the ratio of the densities of whole samples, as in the
            paper, or 'parameter', that of each of their numbers for itself, as released. It lets
            the mean go farther in a round.
        keep_adam: Go on with Adam's moments from round to round, as in the released code, instead
            of starting anew for the objective of each round.
        seed: Seed of the random stream.
        start: Mean of the first round, ``space.size`` numbers in (0, 1); None is ``space.start``.

    Raises:
        ValueError: If an argument is not as said here, in one line.

    Reference:
        Li et al., ICLR 2021, arXiv:2010.07930, Algorithm 1 and Sec. 4.3.
    """

    name = 'PPO'

    def __init__(
        self,
        space: SearchSpace,
        samples: int = 32,
        sigma: float = 0.2,
        clip: float = 0.2,
        updates: int = 100,
        lr: float = 0.2,
        baseline: str = 'mean',
        ratio: str = 'joint',
        seed: int = 0,
        start: Sequence[float] | None = None,
        keep_adam: bool = False,
    ) -> None:
        super().__init__(space, samples, seed)
        for key, value in (('sigma', sigma), ('lr', lr), ('clip', clip)):
            _check_positive(key, value)
        if clip >= 1:
            raise ValueError(f'clip must be below 1, got {clip!r}')
        _check_whole('updates', updates, 1)
        _check_choice('baseline', baseline, _BASELINES)
        _check_choice('ratio', ratio, _RATIOS)
        if samples < 2:
            raise ValueError('samples must be at least 2: one alone is its own baseline')
        if not isinstance(keep_adam, bool):
            raise ValueError(f'keep_adam must be True or False, got {keep_adam!r}')
        self.baseline = baseline
        self._how = {
            'clip': clip,
            'updates': updates,
            'lr': lr,
            'ratio': ratio,
            'keep_adam': keep_adam,
        }
        self._policy = Policy(_checked_start(start, space), sigma)
        self._mean: _Sample | None = None

    @property
    def mean(self) -> _Sample | None:
        """Mean that the round proposed last was drawn around; None before the first."""
        return self._mean

    def _draw(self) -> torch.Tensor:
        mean = self._policy.mean.detach()
        self._mean = tuple(mean.tolist())
        if self.baseline == 'mean':
            return self._policy.sample(self.samples, self._generator)
        drawn = self._policy.sample(self.samples - 1, self._generator)
        return torch.cat([drawn, mean[None]])

    def _learn(self, samples: torch.Tensor, rewards: torch.Tensor) -> None:
        baseline = rewards[-1] if self.baseline == 'centre' else rewards.mean()
        self._policy.improve(samples, rewards - baseline, **self._how)

    def _choose(self, rounds: Sequence[Round]) -> tuple[_Sample, float]:
        """Take the mean of the best round."""
        scores = [math.fsum(done.rewards) / len(done.rewards) for done in rounds]
        best = max(range(len(rounds)), key=scores.__getitem__)
        if rounds[best].mean is None:
            raise ValueError("the rounds hold no mean: they are not PPO's")
        return tuple(rounds[best].mean), scores[best]


ALGORITHMS = {algorithm.name: algorithm for algorithm in (PPO, RandomSearch)}


def build_algorithm(
    settings: Mapping[str, Any], space: SearchSpace, seed: int = 0
) -> SearchAlgorithm:
    """Build an algorithm from the settings of a config.

    Args:
        settings: ``type``, a name in ``ALGORITHMS``, and arguments of that class but ``space`` and
            ``seed``.
        space: What is searched.
        seed: Seed of the random stream.

    Raises:
        ValueError: If the type, a key or a value is wrong, in one line.
    """
    if not isinstance(settings, Mapping):
        raise ValueError(f"algorithm must be a dict such as dict(type='PPO'), got {settings!r}")
    options = dict(settings)
    kind = options.pop('type', None)
    _check_choice('type of algorithm', kind, tuple(ALGORITHMS))
    known = [key for key in inspect.signature(ALGORITHMS[kind]).parameters if key != 'space']
    known.remove('seed')
    unknown = [key for key in options if key not in known]
    if unknown:
        raise ValueError(f'{kind} has no setting {unknown[0]!r}; known are {", ".join(known)}')
    return ALGORITHMS[kind](space, seed=seed, **options)


def _checked_start(start: Sequence[float] | None, space: SearchSpace) -> Sequence[float]:
    start = space.start if start is None else start
    if not isinstance(start, Sequence) or not all(_is_number(v) and 0 < v < 1 for v in start):
        raise ValueError(f'start must be a list of numbers between 0 and 1, got {start!r}')
    if len(start) != space.size:
        raise ValueError(f'start must have {space.size} numbers, got {len(start)}')
    return start


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _check_positive(name: str, value: object) -> None:
    if not _is_number(value) or not 0 < value < math.inf:
        raise ValueError(f'{name} must be a number > 0, got {value!r}')


def _check_whole(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f'{name} must be a whole number >= {least}, got {value!r}')


def _check_choice(name: str, value: object, known: Sequence[str]) -> None:
    if value not in known:
        raise ValueError(f'{name} must be one of {", ".join(known)}, got {value!r}')
