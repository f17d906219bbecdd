"""The Rank & Sort criterion."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from mmdet_alrp.ranking import (
    ClassTargets,
    RankingOptions,
    build_ranking_by_iou,
    rank_sort_losses,
    weighted_box_mean,
    zero_loss,
)

from .criterion import PositiveBoxes, RankedLosses, RankingCriterion


class RankSortCriterion(RankingCriterion):
    """Rank & Sort Loss: positives above negatives, and among positives by the IoU of their boxes.

    The box loss is a mean over the positives in which each weighs as much as its largest class
    score. In every step that mean is multiplied by ``loss_cls / mean``, so that both losses have
    one value and there is no weight to tune. A positive whose box does not touch its target (IoU
    exactly 0) is ranked as a negative; its box is trained all the same.

    Args:
        delta: Half-width of the smoothed step, in logits.
        score_weighted_boxes: Weigh boxes by their scores, as published; False takes a plain mean.
        **kwargs: ``scope``, what is one ranking: 'process' (default), 'image' or 'global';
            ``error_skew``, exponent of the error distribution (0 as published); ``loss_weight``,
            factor of both losses (1); ``box_loss``, how boxes are compared: 'iou', 'giou'
            (default), 'diou' or 'ciou'.

    Reference:
        Oksuz et al., ICCV 2021, arXiv:2107.11669; the weights of the boxes and the IoU of 0 as in
        the published code.
    """

    needs_ious = True

    def __init__(
        self, delta: float = 0.5, score_weighted_boxes: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(delta=delta, **kwargs)
        self.needs_box_scores = score_weighted_boxes

    def _rank(
        self,
        logits: Tensor,
        targets: Tensor | ClassTargets,
        options: RankingOptions,
        boxes: PositiveBoxes,
    ) -> RankedLosses:
        name = type(self).__name__
        if boxes.ious is None:
            raise TypeError(f'{name} needs the IoUs of the positives')
        if self.needs_box_scores and boxes.scores is None:
            raise TypeError(
                f'{name} needs box_scores, the largest class score of each positive; '
                'score_weighted_boxes=False does without'
            )
        ranking, ious = build_ranking_by_iou(
            logits, targets, boxes.ious, self.delta, options, box_losses=boxes.losses
        )
        pos_images = None
        if options.images is not None:
            by_class = isinstance(targets, ClassTargets)
            pos_images = options.images[targets.pos_rows if by_class else targets == 1]
        weights = boxes.scores if self.needs_box_scores else torch.ones_like(boxes.losses)
        loss_box = weighted_box_mean(boxes.losses, weights, options, pos_images)
        if ranking is None:
            loss_rank = loss_sort = zero_loss(logits)
        else:
            loss_rank, loss_sort = rank_sort_losses(logits, ranking, ious)
        loss_cls = loss_rank + loss_sort
        bare = loss_box.detach()
        # Boxes that all miss their targets learn with a ratio of 1: there is no ranking to balance
        # them with. Perfect boxes have nothing to balance either; NaN must stay visible.
        unbalanced = bare == 0 if ranking is not None else torch.ones_like(bare, dtype=torch.bool)
        ratio = torch.where(unbalanced, 1, loss_cls.detach() / bare)
        log = {
            'rank_error': loss_rank.detach(),
            'sort_error': loss_sort.detach(),
            'loc_error': bare,
            'balance_ratio': ratio,
        }
        finite = None if ranking is None else ranking.all_finite
        return RankedLosses(loss_cls, ratio * loss_box, log, finite)
