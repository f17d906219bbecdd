"""DINO's head, its matching queries trained by a ranking loss."""

from __future__ import annotations

from typing import Any

from mmdet.models.dense_heads import DINOHead
from mmdet.registry import MODELS
from torch import Tensor

from .loss_recorder import replaced
from .ranking_detr_head_mixin import RankingDETRHeadMixin

DINO_FOCAL_LOSS = {
    'type': 'FocalLoss',
    'use_sigmoid': True,
    'gamma': 2.0,
    'alpha': 0.25,
    'loss_weight': 1.0,
}
DINO_GIOU_LOSS = {'type': 'GIoULoss', 'loss_weight': 2.0}


class RankingDINOHeadMixin(RankingDETRHeadMixin):
    """Mixin; must come first: ``class MyHead(RankingDINOHeadMixin, DINOHead)``.

    Denoising queries are no part of any ranking. They start from noisy ground truth and are not
    there at test time: with them a ranking would order what is never compared. They have losses of
    their own, by default DINO's focal loss of weight 1 and GIoU loss of weight 2, and share
    ``loss_bbox``, the L1, with the matching queries.

    Args:
        *args: Positional arguments of the head.
        loss_dn_cls: Classification loss of the denoising queries; None is DINO's.
        loss_dn_iou: Box loss of the denoising queries beside the L1; None is DINO's.
        **kwargs: Keyword arguments of the head, with a ranking loss as ``loss_cls``.

    Raises:
        ValueError: If ``loss_dn_cls`` is a ranking loss, or no ranking fits the head or its losses.
    """

    def __init__(
        self,
        *args: Any,
        loss_dn_cls: dict | None = None,
        loss_dn_iou: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.loss_dn_cls = MODELS.build(loss_dn_cls or DINO_FOCAL_LOSS)
        self.loss_dn_iou = MODELS.build(loss_dn_iou or DINO_GIOU_LOSS)
        if hasattr(self.loss_dn_cls, 'check_box_loss'):
            raise ValueError(
                f'{type(self).__name__} does not rank denoising queries, which are not there at '
                f'test time: give loss_dn_cls another loss, got {type(self.loss_dn_cls).__name__}'
            )

    def loss_dn(self, *args: Any, **kwargs: Any) -> tuple[list[Tensor], ...]:
        """Compute the losses of the denoising queries, with the arguments of DINOHead."""
        with replaced(self, loss_cls=self.loss_dn_cls, loss_iou=self.loss_dn_iou):
            return super().loss_dn(*args, **kwargs)


@MODELS.register_module()
class RankingDINOHead(RankingDINOHeadMixin, DINOHead):
    """DINOHead with a ranking of each decoder layer and one of the encoder's proposals.

    Takes the arguments of MMDetection's ``DINOHead``; ``loss_cls`` is a ranking loss and
    ``loss_iou`` the box loss that it weighs. ``loss_dn_cls`` and ``loss_dn_iou`` train the
    denoising queries.
    """
