"""Search of a surrogate loss: Auto Seg-Loss, Algorithm 1."""

from .algorithms import ALGORITHMS, PPO, RandomSearch, Round, SearchAlgorithm, build_algorithm
from .policy import Policy, clipped_objective
from .space import SearchSpace
from .truncated_normal import TruncatedNormal

__all__ = [
    'ALGORITHMS',
    'PPO',
    'Policy',
    'RandomSearch',
    'Round',
    'SearchAlgorithm',
    'SearchSpace',
    'TruncatedNormal',
    'build_algorithm',
    'clipped_objective',
]
