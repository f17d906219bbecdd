"""The registered Rank & Sort Loss."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.registry import MODELS
from torch import Tensor

from mmdet_alrp.ranking import Ranking, rank_sort_losses

from .ranking_loss import RankedLosses, RankingLoss


@MODELS.register_module(name=['RankSortLoss', 'RSLoss'])
class RankSortLoss(RankingLoss):
    """Rank & Sort Loss: positives above negatives, and among positives by the IoU of their boxes.

    The box loss, the mean over the positives, is weighted in every step to the value of the
    ranking and sorting loss: there is no weight to tune.

    Args:
        delta: Half-width of the smoothed step, in logits.
        **kwargs: ``scope``, ``error_skew``, ``loss_weight`` and ``use_sigmoid`` as
            :class:`RankingLoss`.

    Reference:
        Oksuz et al., ICCV 2021, arXiv:2107.11669.
    """

    needs_ious = True
    needs_boxes = True

    def __init__(self, delta: float = 0.5, **kwargs: Any) -> None:
        super().__init__(delta=delta, **kwargs)

    def _losses(
        self, logits: Tensor, ranking: Ranking, box_losses: Tensor, ious: Tensor | None
    ) -> RankedLosses:
        if ious is None:
            raise TypeError('RankSortLoss needs the IoUs of the positives')
        loss_rank, loss_sort = rank_sort_losses(logits, ranking, ious)
        loss_cls = loss_rank + loss_sort
        loss_box = ranking.mean(box_losses)
        # Perfect boxes have nothing to balance; NaN must stay visible.
        bare = loss_box.detach()
        ratio = torch.where(bare == 0, 1, loss_cls.detach() / bare)
        log = {
            'rank_error': loss_rank.detach(),
            'sort_error': loss_sort.detach(),
            'loc_error': bare,
            'balance_ratio': ratio,
        }
        return RankedLosses(loss_cls, ratio * loss_box, log)

    def _losses_without_positives(self, logits: Tensor, box_losses: Tensor) -> RankedLosses:
        losses = super()._losses_without_positives(logits, box_losses)
        zero = losses.loss_cls.detach()
        names = ('rank_error', 'sort_error', 'loc_error', 'balance_ratio')
        return losses._replace(log=dict.fromkeys(names, zero))
