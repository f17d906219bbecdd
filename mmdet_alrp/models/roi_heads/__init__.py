"""Registered heads of two-stage detectors that are trained by ranking losses."""

from .ranking_bbox_head import RankingBBoxHeadMixin, RankingShared2FCBBoxHead
from .ranking_mask_head import RankingFCNMaskHead, RankingStandardRoIHead

__all__ = [
    'RankingBBoxHeadMixin',
    'RankingFCNMaskHead',
    'RankingShared2FCBBoxHead',
    'RankingStandardRoIHead',
]
