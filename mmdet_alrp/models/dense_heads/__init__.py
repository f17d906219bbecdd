"""Registered dense heads that are trained by ranking losses."""

from .ranking_anchor_head_mixin import RankingAnchorHeadMixin
from .ranking_atss_head import RankingATSSHead
from .ranking_fovea_head import RankingFoveaHead
from .ranking_head_mixin import RankingHeadMixin
from .ranking_retina_head import RankingRetinaHead
from .ranking_rpn_head import RankingRPNHead
from .retina_atss_head import RetinaATSSHead

__all__ = [
    'RankingATSSHead',
    'RankingAnchorHeadMixin',
    'RankingFoveaHead',
    'RankingHeadMixin',
    'RankingRPNHead',
    'RankingRetinaHead',
    'RetinaATSSHead',
]
