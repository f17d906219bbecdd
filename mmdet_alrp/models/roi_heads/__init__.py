"""Registered box heads of two-stage detectors that are trained by ranking losses."""

from .ranking_bbox_head import RankingBBoxHeadMixin, RankingShared2FCBBoxHead

__all__ = ['RankingBBoxHeadMixin', 'RankingShared2FCBBoxHead']
