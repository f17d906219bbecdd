"""The head of ATSS without centerness, trained by a ranking loss."""

from __future__ import annotations

from typing import Any

from mmdet.models.dense_heads import ATSSHead
from mmdet.registry import MODELS
from torch import Tensor, nn

from .batch_targets import BatchTargetsMixin
from .ranking_head_mixin import RankingHeadMixin


class NoCenterness(nn.Module):
    """Stands where ATSSHead has its centerness branch; has no weights and predicts nothing."""

    def forward(self, features: Tensor) -> Tensor:
        """Return a tensor without elements."""
        return features[:, :0]


@MODELS.register_module()
class RankingATSSHead(RankingHeadMixin, BatchTargetsMixin, ATSSHead):
    """ATSSHead with a ranking over all anchors, classes, levels and images of a batch.

    A ranking loss makes the scores follow localisation, so there is no centerness: no branch, no
    weights, no loss, and scores are not multiplied by it. Other arguments are those of
    MMDetection's ``ATSSHead``.

    Args:
        *args: As in the parent.
        loss_centerness: Must be None; a config that inherits one sets it to None.
        **kwargs: As in the parent; ``loss_cls`` is a ranking loss, ``reg_decoded_bbox`` is True.

    Raises:
        ValueError: If there is a ``loss_centerness`` or ``reg_decoded_bbox`` is False.
    """

    gives_anchors = True  # get_targets hands them back first

    def __init__(self, *args: Any, loss_centerness: None = None, **kwargs: Any) -> None:
        if loss_centerness is not None:
            raise ValueError('RankingATSSHead has no centerness: set loss_centerness=None')
        super().__init__(*args, **kwargs)
        if not self.reg_decoded_bbox:
            raise ValueError('RankingATSSHead compares boxes: set reg_decoded_bbox=True')
        del self.loss_centerness

    def _init_layers(self) -> None:
        super()._init_layers()
        self.atss_centerness = NoCenterness()

    def forward(self, x: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor]]:
        """Return scores and box deltas of each level, shapes as in the parent."""
        return super().forward(x)[:2]

    def loss_by_feat(
        self, cls_scores: list[Tensor], bbox_preds: list[Tensor], *args: Any, **kwargs: Any
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch, arguments as in the parent but for the centerness."""
        no_centernesses = [None] * len(cls_scores)
        losses = super().loss_by_feat(cls_scores, bbox_preds, no_centernesses, *args, **kwargs)
        del losses['loss_centerness']
        return losses

    def loss_by_feat_single(
        self,
        anchors: Tensor,
        cls_score: Tensor,
        bbox_pred: Tensor,
        centerness: None,
        labels: Tensor,
        label_weights: Tensor,
        bbox_targets: Tensor,
        avg_factor: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Hand one level, shapes as in the parent, to the losses, its boxes with their anchors."""
        cls_score = cls_score.permute(0, 2, 3, 1).reshape(-1, self.cls_out_channels)
        bbox_pred = bbox_pred.permute(0, 2, 3, 1).reshape(-1, 4)
        loss_cls = self.loss_cls(cls_score, labels.reshape(-1), label_weights.reshape(-1))
        loss_bbox = self.loss_bbox(
            bbox_pred, bbox_targets.reshape(-1, 4), priors=anchors.reshape(-1, 4)
        )
        nothing = loss_bbox.new_zeros(())
        return loss_cls, loss_bbox, nothing, nothing
