"""The registered AP and NDCG losses: a ranking loss beside an ordinary box loss."""

from __future__ import annotations

from typing import Any

from mmdet.registry import MODELS
from torch import Tensor

from mmdet_alrp.ranking import (
    Ranking,
    average_precision_terms,
    error_driven_loss,
    interpolated_average_precision_terms,
    ndcg_terms,
)

from .balanced_loss import BalancedRankingLoss


@MODELS.register_module()
class APLoss(BalancedRankingLoss):
    """Average Precision Loss; the box loss, of any kind, is its mean over the positives.

    Args:
        delta: Half-width of the smoothed step, in logits.
        interpolated: Take for each positive the best precision among the positives scored at or
            below it, as published; False takes its own precision.
        **kwargs: ``self_balance`` (False) and ``initial_ratio`` as :class:`BalancedRankingLoss`;
            ``scope``, ``error_skew``, ``loss_weight`` and ``use_sigmoid`` as :class:`RankingLoss`.

    Reference:
        Chen et al., CVPR 2019, arXiv:1904.06373; with other box losses and self-balancing: Oksuz
        et al., NeurIPS 2020, arXiv:2009.13592, Table A.12.
    """

    def __init__(self, delta: float = 1.0, interpolated: bool = True, **kwargs: Any) -> None:
        super().__init__(delta=delta, **kwargs)
        self.interpolated = interpolated

    def _parts(self, logits: Tensor, ranking: Ranking, box_losses: Tensor) -> tuple[Tensor, Tensor]:
        terms = (
            interpolated_average_precision_terms(ranking)
            if self.interpolated
            else average_precision_terms(ranking)
        )
        return error_driven_loss(logits, ranking, terms), ranking.mean(box_losses)


@MODELS.register_module()
class NDCGLoss(BalancedRankingLoss):
    """Normalised Discounted Cumulative Gain Loss; the box loss is its mean over the positives.

    Args:
        **kwargs: ``delta`` (1), ``scope``, ``error_skew``, ``loss_weight`` and ``use_sigmoid`` as
            :class:`RankingLoss`; ``self_balance`` (False) and ``initial_ratio`` as
            :class:`BalancedRankingLoss`.

    Reference:
        Oksuz et al., NeurIPS 2020, arXiv:2009.13592, Appendix on ranking measures.
    """

    def _parts(self, logits: Tensor, ranking: Ranking, box_losses: Tensor) -> tuple[Tensor, Tensor]:
        return error_driven_loss(logits, ranking, ndcg_terms(ranking)), ranking.mean(box_losses)
