"""The ranking mixin for heads with many anchors."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from .ranking_head_mixin import RankingHeadMixin


class RankingAnchorHeadMixin(RankingHeadMixin):
    """Mixin for AnchorHeads; must come first: ``class MyHead(RankingAnchorHeadMixin, RetinaHead)``.

    Like RankingHeadMixin, but only the boxes of positives are decoded, which saves time and memory
    where there are many anchors.
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
    ) -> tuple[Tensor, Tensor]:
        """Hand the predictions of one level to the losses, its boxes with their anchors."""
        cls_score = cls_score.permute(0, 2, 3, 1).reshape(-1, self.cls_out_channels)
        bbox_pred = bbox_pred.permute(0, 2, 3, 1).reshape(-1, self.bbox_coder.encode_size)
        loss_cls = self.loss_cls(cls_score, labels.reshape(-1), label_weights.reshape(-1))
        loss_bbox = self.loss_bbox(
            bbox_pred,
            bbox_targets.reshape(-1, bbox_targets.size(-1)),
            priors=anchors.reshape(-1, anchors.size(-1)),
        )
        return loss_cls, loss_bbox
