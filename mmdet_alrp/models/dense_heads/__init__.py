"""Registered dense heads that are trained by ranking losses."""

from .ranking_head_mixin import Gathered, RankingHeadMixin
from .ranking_retina_head import RankingRetinaHead
from .retina_atss_head import RetinaATSSHead

__all__ = ['Gathered', 'RankingHeadMixin', 'RankingRetinaHead', 'RetinaATSSHead']
