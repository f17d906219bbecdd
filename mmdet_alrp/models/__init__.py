"""Registered models: ranking losses and the heads that they train."""

from mmdet_alrp import fitting_stack  # noqa: F401

from .dense_heads import (
    CenternessFreeMixin,
    RankingAnchorHeadMixin,
    RankingATSSHead,
    RankingFCOSHead,
    RankingFoveaHead,
    RankingGFLHead,
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
    'CenternessFreeMixin',
    'NDCGLoss',
    'RankSortLoss',
    'RankingATSSHead',
    'RankingAnchorHeadMixin',
    'RankingBBoxHeadMixin',
    'RankingFCOSHead',
    'RankingFoveaHead',
    'RankingGFLHead',
    'RankingHeadMixin',
    'RankingLoss',
    'RankingRPNHead',
    'RankingRetinaHead',
    'RankingShared2FCBBoxHead',
    'RetinaATSSHead',
]
