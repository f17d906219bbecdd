"""The head of ATSS without centerness, trained by a ranking loss."""

from __future__ import annotations

from typing import Any

from mmdet.models.dense_heads import ATSSHead
from mmdet.registry import MODELS
from torch import Tensor

from .batch_targets import BatchTargetsMixin
from .centerness_free_mixin import CenternessFreeMixin
from .ranking_head_mixin import RankingHeadMixin


@MODELS.register_module()
class RankingATSSHead(CenternessFreeMixin, RankingHeadMixin, BatchTargetsMixin, ATSSHead):
    """ATSSHead with a ranking over all anchors, classes, levels and images of a batch.

    A ranking loss makes the scores follow localisation, so there is no centerness: no branch, no
    weights, no loss, and scores are not multiplied by it.

    Args:
        *args: Positional arguments of MMDetection's ``ATSSHead``.
        **kwargs: Keyword arguments of ``ATSSHead``; ``loss_cls`` is a ranking loss,
            ``reg_decoded_bbox`` is True and ``loss_centerness``, if given, None.

    Raises:
        ValueError: If there is a ``loss_centerness`` or ``reg_decoded_bbox`` is False.
    """

    gives_anchors = True  # get_targets hands them back first

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.reg_decoded_bbox:
            raise ValueError('RankingATSSHead compares boxes: set reg_decoded_bbox=True')

    def loss_by_feat_single(
        self,
        anchors: Tensor,
        cls_score: Tensor,
        bbox_pred: Tensor,
        centerness: Tensor,
        labels: Tensor,
        label_weights: Tensor,
        bbox_targets: Tensor,
        avg_factor: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Hand the predictions of one level to the losses, its boxes with their anchors."""
        cls_score = cls_score.permute(0, 2, 3, 1).reshape(-1, self.cls_out_channels)
        bbox_pred = bbox_pred.permute(0, 2, 3, 1).reshape(-1, 4)
        loss_cls = self.loss_cls(cls_score, labels.reshape(-1), label_weights.reshape(-1))
        loss_bbox = self.loss_bbox(
            bbox_pred, bbox_targets.reshape(-1, 4), priors=anchors.reshape(-1, 4)
        )
        nothing = loss_bbox.new_zeros(())
        return loss_cls, loss_bbox, nothing, nothing
