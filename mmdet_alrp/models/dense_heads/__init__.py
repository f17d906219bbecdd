"""Registered dense heads that are trained by ranking losses."""

from .centerness_free_mixin import CenternessFreeMixin
from .ranking_anchor_head_mixin import RankingAnchorHeadMixin
from .ranking_atss_head import RankingATSSHead
from .ranking_detr_head_mixin import RankingDETRHeadMixin
from .ranking_detr_heads import (
    RankingConditionalDETRHead,
    RankingDABDETRHead,
    RankingDeformableDETRHead,
)
from .ranking_dino_head import RankingDINOHead, RankingDINOHeadMixin
from .ranking_fcos_head import RankingFCOSHead
from .ranking_fovea_head import RankingFoveaHead
from .ranking_gfl_head import RankingGFLHead
from .ranking_head_mixin import RankingHeadMixin
from .ranking_paa_head import RankingPAAHead
from .ranking_retina_head import RankingRetinaHead
from .ranking_rpn_head import RankingRPNHead
from .ranking_rtmdet_heads import RankingRTMDetHead, RankingRTMDetSepBNHead
from .retina_atss_head import RetinaATSSHead

__all__ = [
    'CenternessFreeMixin',
    'RankingATSSHead',
    'RankingAnchorHeadMixin',
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
    'RankingPAAHead',
    'RankingRPNHead',
    'RankingRTMDetHead',
    'RankingRTMDetSepBNHead',
    'RankingRetinaHead',
    'RetinaATSSHead',
]
