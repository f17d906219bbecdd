"""The head of FCOS without centerness, trained by a ranking loss."""

from __future__ import annotations

from mmdet.models.dense_heads import FCOSHead
from mmdet.registry import MODELS

from .centerness_free_mixin import CenternessFreeMixin
from .ranking_head_mixin import RankingHeadMixin


@MODELS.register_module()
class RankingFCOSHead(CenternessFreeMixin, RankingHeadMixin, FCOSHead):
    """FCOSHead with a ranking over all points, classes, levels and images of a batch.

    Takes the arguments of MMDetection's ``FCOSHead``, without centerness: ``loss_centerness``, if
    given, must be None. ``loss_cls`` is a ranking loss. Each box counts as its ranking loss says,
    and not by its centerness as in the parent.
    """
