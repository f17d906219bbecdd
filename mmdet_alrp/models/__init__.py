"""Registered models: ranking losses and the heads that they train."""

from mmdet_alrp import fitting_stack  # noqa: F401

from .dense_heads import (
    RankingAnchorHeadMixin,
    RankingATSSHead,
    RankingFoveaHead,
    RankingHeadMixin,
    RankingRetinaHead,
    RankingRPNHead,
    RetinaATSSHead,
)
from .losses import ALRPLoss, APLoss, NDCGLoss, RankingLoss, RankSortLoss
from .roi_heads import RankingBBoxHeadMixin, RankingShared2FCBBoxHead

__all__ = [
    'ALRPLoss',
    'APLoss',
    'NDCGLoss',
    'RankSortLoss',
    'RankingATSSHead',
    'RankingAnchorHeadMixin',
    'RankingBBoxHeadMixin',
    'RankingFoveaHead',
    'RankingHeadMixin',
    'RankingLoss',
    'RankingRPNHead',
    'RankingRetinaHead',
    'RankingShared2FCBBoxHead',
    'RetinaATSSHead',
]
