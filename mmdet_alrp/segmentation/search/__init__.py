"""Search of a surrogate loss: Auto Seg-Loss, Algorithm 1."""

from .algorithms import ALGORITHMS, PPO, RandomSearch, Round, SearchAlgorithm, build_algorithm
from .executors import LocalExecutor, RayExecutor, build_executor
from .policy import Policy, clipped_objective
from .proxy import ProxyResult, ProxyTask, prepare_proxy, run_proxy, training_seed
from .space import SearchSpace
from .truncated_normal import TruncatedNormal

__all__ = [
    'ALGORITHMS',
    'PPO',
    'LocalExecutor',
    'Policy',
    'ProxyResult',
    'ProxyTask',
    'RandomSearch',
    'RayExecutor',
    'Round',
    'SearchAlgorithm',
    'SearchSpace',
    'TruncatedNormal',
    'build_algorithm',
    'build_executor',
    'clipped_objective',
    'prepare_proxy',
    'run_proxy',
    'training_seed',
]
