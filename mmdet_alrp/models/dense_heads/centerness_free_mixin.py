"""Removes the centerness branch, which would change the order that a ranking loss trains."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class NoCenterness(nn.Module):
    """Replaces a centerness branch; has no weights and predicts nothing."""

    def forward(self, features: Tensor) -> Tensor:
        """Return a tensor without elements."""
        return features[:, :0]


class NoLoss(nn.Module):
    """Replaces a loss that is not wanted."""

    def forward(self, pred: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return 0 without a graph."""
        return pred.new_zeros(())


class CenternessFreeMixin:
    """Mixin; must come first: ``class MyHead(CenternessFreeMixin, RankingHeadMixin, FCOSHead)``.

    At test time such a head multiplies the class scores by the centerness. A ranking loss orders
    the class scores alone, and the product has another order. So there is no centerness: no branch,
    no weights, no loss, no factor.

    For heads derived from FCOSHead or ATSSHead.

    Args:
        *args: Positional arguments of the head.
        loss_centerness: Must be None; a config that inherits one sets it to None.
        **kwargs: Keyword arguments of the head.

    Attributes:
        centerness_key: The parent's name for the loss of the branch.

    Raises:
        ValueError: If there is a ``loss_centerness``.
    """

    centerness_key = 'loss_centerness'

    def __init__(self, *args: Any, loss_centerness: None = None, **kwargs: Any) -> None:
        if loss_centerness is not None:
            raise ValueError(f'{type(self).__name__} has no centerness: set loss_centerness=None')
        super().__init__(*args, **kwargs)
        self.loss_centerness = NoLoss()

    def _init_layers(self) -> None:
        super()._init_layers()
        for name in ('conv_centerness', 'atss_centerness'):
            if hasattr(self, name):
                setattr(self, name, NoCenterness())

    def forward(self, x: tuple[Tensor, ...]) -> tuple[list[Tensor], list[Tensor]]:
        """Return class scores and box predictions of each level, without centerness."""
        return super().forward(x)[:2]

    def loss_by_feat(
        self, cls_scores: list[Tensor], bbox_preds: list[Tensor], *args: Any, **kwargs: Any
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch, with the parent's arguments but the centerness."""
        anchors = getattr(self, 'num_base_priors', 1)  # a place
        zeros = [score.new_zeros(len(score), anchors, *score.shape[2:]) for score in cls_scores]
        losses = super().loss_by_feat(cls_scores, bbox_preds, zeros, *args, **kwargs)
        del losses[self.centerness_key]
        return losses
