"""RetinaNet's head, trained by a ranking loss."""

from __future__ import annotations

from typing import Any

from mmdet.models.dense_heads import RetinaHead
from mmdet.models.dense_heads.anchor_head import anchor_inside_flags
from mmdet.registry import MODELS
from torch import Tensor

from .level_assigner import LevelAssigner, needs_levels
from .ranking_head_mixin import Gathered, RankingHeadMixin


@MODELS.register_module()
class RankingRetinaHead(RankingHeadMixin, RetinaHead):
    """RetinaHead with one ranking over all anchors, classes, levels and images of a batch.

    Takes the arguments of MMDetection's ``RetinaHead``; ``loss_cls`` is a ranking loss and
    ``reg_decoded_bbox`` must be True. Assigners that work over all anchors (MaxIoUAssigner) and
    level by level (ATSSAssigner) both fit.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Inference builds heads without train_cfg, and so without an assigner.
        if self.train_cfg and needs_levels(self.assigner):
            self.assigner = LevelAssigner(self.assigner)
        self._num_level_anchors: list[int] = []

    def get_targets(self, anchor_list: list[list[Tensor]], *args: Any, **kwargs: Any) -> tuple:
        """Assign targets as the parent does, with the sizes of the levels at hand."""
        self._num_level_anchors = [len(anchors) for anchors in anchor_list[0]]
        return super().get_targets(anchor_list, *args, **kwargs)

    def _get_targets_single(
        self,
        flat_anchors: Tensor,
        valid_flags: Tensor,
        gt_instances: Any,
        img_meta: dict,
        *args: Any,
        **kwargs: Any,
    ) -> tuple:
        if isinstance(self.assigner, LevelAssigner):
            inside = anchor_inside_flags(
                flat_anchors,
                valid_flags,
                img_meta['img_shape'][:2],
                self.train_cfg['allowed_border'],
            )
            levels = inside.split(self._num_level_anchors)
            self.assigner.num_level_priors = [int(level.sum()) for level in levels]
        return super()._get_targets_single(
            flat_anchors, valid_flags, gt_instances, img_meta, *args, **kwargs
        )

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
