"""Ranks the queries of a DETR head, each decoder layer by itself."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.task_modules.assigners import ClassificationCost
from mmdet.registry import MODELS
from torch import Tensor, nn

from mmdet_alrp.ranking import at_least_float32
from mmdet_alrp.ranking.outside_graphs import outside_graphs

from .loss_recorder import join_records, recording
from .ranking_head_mixin import RankingHeadMixin

# Why no ranking fits a head, by the name of the head or of a parent.
UNFIT = {
    'GroundingDINOHead': 'its columns are words of a text, and a box may be positive in several',
    'DDQDETRHead': 'it picks distinct queries in loss code of its own and trains dense ones beside',
}


class RankingDETRHeadMixin(RankingHeadMixin):
    """Mixin; must come first: ``class MyHead(RankingDETRHeadMixin, DeformableDETRHead)``.

    The outputs of one decoder layer, all queries, classes and images of the batch, are one ranking,
    and the encoder's proposals are one more. Their losses add up. Matching stays the parent's.

    The ranking weighs ``loss_iou`` as other heads' ``loss_bbox``. ``loss_bbox``, the L1 of
    normalised boxes, stays the parent's with the parent's weight. ``loss_cls`` is one module for
    all layers: a self-balance ratio is one for all of them, from the sums over all of them.

    Args:
        *args: Positional arguments of the head.
        loss_cls: Config of a ranking loss.
        **kwargs: Keyword arguments of the head; ``loss_iou`` is a box loss that fits ``loss_cls``.

    Attributes:
        class_agnostic_proposals: Whether only the first column of the encoder's scores is used to
            pick proposals. Then only that column is ranked.

    Raises:
        ValueError: If no ranking fits the head, its matching or its losses.
    """

    ranked_box_loss = 'loss_iou'
    class_agnostic_proposals = False

    def __init__(self, *args: Any, loss_cls: dict, **kwargs: Any) -> None:
        name = type(self).__name__
        for parent in type(self).__mro__:
            if parent.__name__ in UNFIT:
                raise ValueError(f'no ranking loss fits {name}: {UNFIT[parent.__name__]}')
        # DETRHead reads use_sigmoid from the loss that it has built, and not from the config.
        loss_cls = {'type': _built_with_use_sigmoid, 'config': loss_cls}
        super().__init__(*args, loss_cls=loss_cls, **kwargs)
        costs = getattr(getattr(self, 'assigner', None), 'match_costs', [])
        if any(isinstance(cost, ClassificationCost) for cost in costs):
            raise ValueError(
                f'{name} scores each class by its own sigmoid, and ClassificationCost matches by '
                "a softmax: use dict(type='FocalLossCost', weight=2.0) in match_costs"
            )
        self._num_layers = 0
        self._rankings: list[dict[str, Tensor]] = []
        self._finite: list[Tensor] = []

    @outside_graphs
    def loss_by_feat(
        self, all_layers_cls_scores: Tensor, *args: Any, **kwargs: Any
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Args:
            all_layers_cls_scores: Logits, shape (num_layers, num_images, num_queries, num_classes).
            *args: Further arguments of the head's own ``loss_by_feat``.
            **kwargs: Further keyword arguments of the head's own ``loss_by_feat``.

        Returns:
            The parent's losses, those of each layer under the parent's names (``loss_cls`` and
            ``loss_iou`` are the ranking's), and what the ranking of the last layer logs.
        """
        self._num_layers = len(all_layers_cls_scores)
        self._rankings, self._finite = [], []
        scores, *args = (_in_full_precision(arg) for arg in (all_layers_cls_scores, *args))
        kwargs = {name: _in_full_precision(arg) for name, arg in kwargs.items()}
        with torch.autocast(scores.device.type, enabled=False):
            # The parent's, and not RankingHeadMixin's, which joins all that it sees.
            losses = super(RankingHeadMixin, self).loss_by_feat(scores, *args, **kwargs)
        self.last_losses_finite = torch.stack(self._finite).all()
        return {**losses, **self._rankings[self._num_layers - 1]}

    def loss_by_feat_single(
        self,
        cls_scores: Tensor,
        bbox_preds: Tensor,
        batch_gt_instances: list,
        batch_img_metas: list[dict],
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rank one decoder layer, or the encoder's proposals.

        Args:
            cls_scores: Logits, shape (num_images, num_queries, num_classes).
            bbox_preds: Normalised boxes (cx, cy, w, h), shape (num_images, num_queries, 4).
            batch_gt_instances: Ground truth of each image, an ``InstanceData`` with ``bboxes`` and
                ``labels``.
            batch_img_metas: Meta information of each image, such as ``img_shape``.

        Returns:
            ``loss_cls``, ``loss_bbox`` (the parent's L1) and ``loss_iou``.
        """
        with recording(self, self.ranked_box_loss) as recorders:
            _, loss_bbox, _ = super().loss_by_feat_single(
                cls_scores, bbox_preds, batch_gt_instances, batch_img_metas
            )
        recorded = join_records(*recorders)
        are_proposals = len(self._rankings) >= self._num_layers
        if are_proposals and self.class_agnostic_proposals:
            # One class: an object is 0 and the background 1, however many classes the head has.
            recorded = recorded._replace(
                cls_score=recorded.cls_score[:, :1], labels=recorded.labels.clamp(max=1)
            )
        if self.loss_cls.scope == 'image':
            num_images, num_queries = cls_scores.shape[:2]
            images = torch.arange(num_images, dtype=torch.int16, device=cls_scores.device)
            images = images.repeat_interleave(num_queries)
            recorded = recorded._replace(images=images, num_images=num_images)
        ranked = self.ranking_losses(recorded)
        loss_cls, loss_iou = ranked.pop('loss_cls'), ranked.pop('loss_bbox')
        self._rankings.append(ranked)
        self._finite.append(self.last_losses_finite)
        return loss_cls, loss_bbox, loss_iou

    def _watch_positives(self, num_pos: int) -> None:
        """Watch nothing: matching gives every box a query, whatever the priors are."""


def _built_with_use_sigmoid(config: dict) -> nn.Module:
    """Build a loss; a ranking loss, which is always one of sigmoids, says so."""
    loss = MODELS.build(config)
    if hasattr(loss, 'check_box_loss'):
        loss.use_sigmoid = True
    return loss


def _in_full_precision(arg: Any) -> Any:
    """Convert an output of the head or the encoder; hand other arguments back as they are."""
    return at_least_float32(arg) if isinstance(arg, Tensor) else arg
