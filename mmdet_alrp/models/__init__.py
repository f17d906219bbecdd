"""Registered models: ranking losses and the heads that they train."""

from .dense_heads import (
    CenternessFreeMixin,
    RankingAnchorHeadMixin,
    RankingATSSHead,
    RankingConditionalDETRHead,
    RankingDABDETRHead,
    RankingDeformableDETRHead,
    RankingDETRHeadMixin,
    RankingDINOHead,
    RankingDINOHeadMixin,
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
    'RankingConditionalDETRHead',
    'RankingDABDETRHead',
    'RankingDETRHeadMixin',
    'RankingDINOHead',
    'RankingDINOHeadMixin',
    'RankingDeformableDETRHead',
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
