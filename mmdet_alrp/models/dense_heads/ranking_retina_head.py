"""RetinaNet's head, trained by a ranking loss."""

from __future__ import annotations

from mmdet.models.dense_heads import RetinaHead
from mmdet.registry import MODELS

from .batch_targets import BatchTargetsMixin
from .level_assigner import LevelAssignerMixin
from .ranking_anchor_head_mixin import RankingAnchorHeadMixin


@MODELS.register_module()
class RankingRetinaHead(RankingAnchorHeadMixin, BatchTargetsMixin, LevelAssignerMixin, RetinaHead):
    """RetinaHead with a ranking over all anchors, classes, levels and images of a batch.

    Takes the arguments of MMDetection's ``RetinaHead``; ``loss_cls`` is a ranking loss, and
    ``reg_decoded_bbox`` must be True for those that measure boxes by their IoU. Assigners that
    work over all anchors (MaxIoUAssigner) and level by level (ATSSAssigner) both fit.
    """
