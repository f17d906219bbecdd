"""Search of a surrogate loss: Auto Seg-Loss, Algorithm 1."""

from .algorithms import ALGORITHMS, PPO, RandomSearch, Round, SearchAlgorithm, build_algorithm
from .executors import LocalExecutor, RayExecutor, build_executor
from .policy import Policy, clipped_objective
from .proxy import ProxyResult, ProxyTask, prepare_proxy, run_proxy
from .records import RoundRecord, SampleRecord, SearchRecord, read_record
from .search import SearchParts, run_search
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
    'RoundRecord',
    'SampleRecord',
    'SearchAlgorithm',
    'SearchParts',
    'SearchRecord',
    'SearchSpace',
    'TruncatedNormal',
    'build_algorithm',
    'build_executor',
    'clipped_objective',
    'prepare_proxy',
    'read_record',
    'run_proxy',
    'run_search',
]
