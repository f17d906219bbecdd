"""Heads of the DETR family without denoising queries, trained by ranking losses."""

from __future__ import annotations

from mmdet.models.dense_heads import ConditionalDETRHead, DABDETRHead, DeformableDETRHead
from mmdet.registry import MODELS

from .ranking_detr_head_mixin import RankingDETRHeadMixin


@MODELS.register_module()
class RankingDeformableDETRHead(RankingDETRHeadMixin, DeformableDETRHead):
    """DeformableDETRHead with a ranking of each decoder layer and one of the encoder's proposals.

    Takes the arguments of MMDetection's ``DeformableDETRHead``; ``loss_cls`` is a ranking loss and
    ``loss_iou`` the box loss that it weighs. Its proposals are picked by the first column of the
    encoder's scores, objects of all classes together, and only that column is ranked.
    """

    class_agnostic_proposals = True


@MODELS.register_module()
class RankingConditionalDETRHead(RankingDETRHeadMixin, ConditionalDETRHead):
    """ConditionalDETRHead with a ranking of each decoder layer.

    Takes the arguments of MMDetection's ``ConditionalDETRHead``; ``loss_cls`` is a ranking loss and
    ``loss_iou`` the box loss that it weighs.
    """


@MODELS.register_module()
class RankingDABDETRHead(RankingDETRHeadMixin, DABDETRHead):
    """DABDETRHead with a ranking of each decoder layer.

    Takes the arguments of MMDetection's ``DABDETRHead``; ``loss_cls`` is a ranking loss and
    ``loss_iou`` the box loss that it weighs.
    """
