"""Registered models: ranking losses and the heads that they train."""

from mmdet_alrp import fitting_stack  # noqa: F401
from mmdet_alrp.guards import checkpoint_loading  # noqa: F401

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
    RankingPAAHead,
    RankingRetinaHead,
    RankingRPNHead,
    RankingRTMDetHead,
    RankingRTMDetSepBNHead,
    RetinaATSSHead,
)
from .losses import ALRPLoss, APLoss, NDCGLoss, RankingLoss, RankSortLoss
from .roi_heads import (
    RankingBBoxHeadMixin,
    RankingFCNMaskHead,
    RankingShared2FCBBoxHead,
    RankingStandardRoIHead,
)

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
    'RankingFCNMaskHead',
    'RankingFCOSHead',
    'RankingFoveaHead',
    'RankingGFLHead',
    'RankingHeadMixin',
    'RankingLoss',
    'RankingPAAHead',
    'RankingRPNHead',
    'RankingRTMDetHead',
    'RankingRTMDetSepBNHead',
    'RankingRetinaHead',
    'RankingShared2FCBBoxHead',
    'RankingStandardRoIHead',
    'RetinaATSSHead',
]
