"""The heads of RTMDet, their quality focal loss replaced by a ranking loss."""

from __future__ import annotations

from mmdet.models.dense_heads import RTMDetHead, RTMDetSepBNHead
from mmdet.registry import MODELS

from .ranking_head_mixin import RankingHeadMixin


@MODELS.register_module()
class RankingRTMDetHead(RankingHeadMixin, RTMDetHead):
    """RTMDetHead with a ranking over all points, classes, levels and images of a batch.

    Takes the arguments of MMDetection's ``RTMDetHead``; ``loss_cls`` is a ranking loss. The
    assigner stays; how well a point fits its box decides which points are positive, and the IoU of
    the boxes how Rank & Sort sorts them. With ``with_objectness`` the objectness is part of the
    logits that are ranked.
    """


@MODELS.register_module()
class RankingRTMDetSepBNHead(RankingHeadMixin, RTMDetSepBNHead):
    """RTMDetSepBNHead with a ranking over all points, classes, levels and images of a batch.

    It is the head of MMDetection's configs for RTMDet and takes the arguments of its
    ``RTMDetSepBNHead``; ``loss_cls`` is a ranking loss. The assigner stays; how well a point fits
    its box decides which points are positive, and the IoU of the boxes how Rank & Sort sorts them.
    """
