"""The head of PAA without its IoU branch, trained by a ranking loss."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.dense_heads import PAAHead, paa_head
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from .centerness_free_mixin import CenternessFreeMixin
from .loss_recorder import replaced
from .ranking_head_mixin import RankingHeadMixin

PAA_FOCAL_LOSS = {'type': 'FocalLoss', 'use_sigmoid': True, 'gamma': 2.0, 'alpha': 0.25}


@MODELS.register_module()
class RankingPAAHead(CenternessFreeMixin, RankingHeadMixin, PAAHead):
    """PAAHead with a ranking over all anchors, classes, levels and images of a batch.

    There is no IoU branch: the ranking makes scores follow the quality of the boxes, and boxes are
    tested by their scores alone. PAA tells positive anchors from negative ones by fitting two
    Gaussians to the losses of the candidates. A ranking gives no loss for a single anchor, so this
    takes a focal loss and the bare ``loss_bbox``, which train nothing.

    Args:
        *args: Positional arguments of MMDetection's ``PAAHead``.
        loss_assign: Classification loss by which candidates are told apart; None is a focal loss.
        **kwargs: Keyword arguments of ``PAAHead``; ``loss_cls`` is a ranking loss and
            ``loss_centerness``, if given, None.

    Raises:
        ValueError: If there is a ``loss_centerness`` or ``reg_decoded_bbox`` is False.
        ModuleNotFoundError: If the head is to be trained and scikit-learn is not installed.

    Reference:
        Kim and Lee, ECCV 2020, arXiv:2007.08103; with Rank & Sort: Oksuz et al., ICCV 2021,
        arXiv:2107.11669, Section 5.1, and the published code.
    """

    centerness_key = 'loss_iou'

    def __init__(self, *args: Any, loss_assign: dict | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.reg_decoded_bbox:
            raise ValueError('RankingPAAHead compares boxes: set reg_decoded_bbox=True')
        if self.train_cfg and paa_head.skm is None:
            raise ModuleNotFoundError('PAA fits Gaussians: pip install scikit-learn')
        self.loss_assign = MODELS.build(loss_assign or PAA_FOCAL_LOSS)

    @torch.no_grad()
    def get_pos_loss(self, *args: Any, **kwargs: Any) -> tuple[Tensor]:
        """Compute the losses by which candidates are told apart, with the arguments of PAAHead."""
        loss_bbox = getattr(self.loss_bbox, 'loss', self.loss_bbox)  # behind a recorder
        with replaced(self, loss_cls=self.loss_assign, loss_bbox=loss_bbox):
            return super().get_pos_loss(*args, **kwargs)

    def images_of_priors(self, cls_scores: list[Tensor], prior_scores: Tensor) -> Tensor:
        """Return the image of each prior: PAA joins images, and in each of them levels."""
        num_images = len(cls_scores[0])
        indices = torch.arange(num_images, dtype=torch.int16, device=prior_scores.device)
        return indices.repeat_interleave(len(prior_scores) // num_images)

    def predict_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        score_factors: None = None,
        **kwargs: Any,
    ) -> list[InstanceData]:
        """Predict boxes as the parent does, with quality logits that leave scores as they are."""
        certain = [
            score.new_full((len(score), self.num_base_priors, *score.shape[2:]), float('inf'))
            for score in cls_scores
        ]
        return super().predict_by_feat(cls_scores, bbox_preds, certain, **kwargs)

    def _bbox_post_process(self, results: InstanceData, *args: Any, **kwargs: Any) -> InstanceData:
        # The parent takes the root of score times quality, which here is 1.
        results.scores = results.scores.square()
        return super()._bbox_post_process(results, *args, **kwargs)
