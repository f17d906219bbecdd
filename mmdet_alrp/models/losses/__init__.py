"""Registered ranking losses."""

from mmdet_alrp.criteria import RankedLosses, SelfBalance

from .ranking_loss import BalancedRankingLoss, RankingLoss
from .registered import ALRPLoss, APLoss, NDCGLoss, RankSortLoss

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
