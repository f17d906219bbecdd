"""Registered ranking losses."""

from .alrp_loss import ALRPLoss
from .average_precision_loss import APLoss, NDCGLoss
from .balanced_loss import BalancedRankingLoss
from .rank_sort_loss import RankSortLoss
from .ranking_loss import RankedLosses, RankingLoss
from .self_balance import SelfBalance

__all__ = [
    'ALRPLoss',
    'APLoss',
    'BalancedRankingLoss',
    'NDCGLoss',
    'RankSortLoss',
    'RankedLosses',
    'RankingLoss',
    'SelfBalance',
]
