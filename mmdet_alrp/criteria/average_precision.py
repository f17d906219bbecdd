"""The AP and NDCG criteria: a ranking loss beside an ordinary box loss."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmdet_alrp.ranking import (
    Ranking,
    average_precision_terms,
    error_driven_loss,
    interpolated_average_precision_terms,
    ndcg_terms,
)

from .balanced import BalancedCriterion


class APCriterion(BalancedCriterion):
    """Average Precision Loss; the box loss is its mean over the positives.

    Args:
        delta: Half-width of the smoothed step, in logits.
        interpolated: Take for each positive the best precision among the positives scored at or
            below it, as published; False takes its own precision.
        **kwargs: ``self_balance`` (False), ``initial_ratio`` and ``balance_every`` as
            :class:`BalancedCriterion`; ``scope``, ``error_skew``, ``loss_weight`` and ``box_loss``
            as :class:`RankingCriterion`.

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


class NDCGCriterion(BalancedCriterion):
    """Normalised Discounted Cumulative Gain Loss; the box loss is its mean over the positives.

    Args:
        **kwargs: ``delta`` (1), ``scope``, ``error_skew``, ``loss_weight`` and ``box_loss`` as
            :class:`RankingCriterion`; ``self_balance`` (False), ``initial_ratio`` and
            ``balance_every`` as :class:`BalancedCriterion`.

    Reference:
        Oksuz et al., NeurIPS 2020, arXiv:2009.13592, Appendix on ranking measures.
    """

    def _parts(self, logits: Tensor, ranking: Ranking, box_losses: Tensor) -> tuple[Tensor, Tensor]:
        return error_driven_loss(logits, ranking, ndcg_terms(ranking)), ranking.mean(box_losses)
