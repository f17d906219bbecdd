"""RetinaNet's head, trained by a ranking loss."""

from __future__ import annotations

from typing import Any

from mmdet.models.dense_heads import RetinaHead
from mmdet.registry import MODELS
from torch import Tensor

from .level_assigner import LevelAssignerMixin
from .ranking_head_mixin import Gathered, RankingHeadMixin


@MODELS.register_module()
class RankingRetinaHead(RankingHeadMixin, LevelAssignerMixin, RetinaHead):
    """RetinaHead with one ranking over all anchors, classes, levels and images of a batch.

    Takes the arguments of MMDetection's ``RetinaHead``; ``loss_cls`` is a ranking loss and
    ``reg_decoded_bbox`` must be True. Assigners that work over all anchors (MaxIoUAssigner) and
    level by level (ATSSAssigner) both fit.
    """

    def loss_by_feat_single(
        self,
        cls_score: Tensor,
        bbox_pred: Tensor,
        anchors: Tensor,
        labels: Tensor,
        label_weights: Tensor,
        bbox_targets: Tensor,
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Gathered, None]:
        """Gather one level, shapes as in the parent, for the ranking of all levels."""
        return Gathered(
            cls_score.permute(0, 2, 3, 1).reshape(-1, self.cls_out_channels),
            labels.reshape(-1),
            label_weights.reshape(-1),
            bbox_pred.permute(0, 2, 3, 1).reshape(-1, self.bbox_coder.encode_size),
            bbox_targets.reshape(-1, bbox_targets.size(-1)),
            anchors.reshape(-1, anchors.size(-1)),
        ), None
