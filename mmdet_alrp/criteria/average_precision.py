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
        **kwargs: ``self_balance``, whether a ratio that follows the training multiplies the box
            loss (False); ``initial_ratio``, weight of the box loss in the first period (None is 50
            with and 1 without self-balancing); ``balance_every``, which sets the ratio every so
            many calls in training, without a hook; ``scope``, what is one ranking: 'process'
            (default), 'image' or 'global'; ``error_skew``, exponent of the error distribution (0 as
            published); ``loss_weight``, factor of both losses (1); ``box_loss``, how boxes are
            compared: 'iou', 'giou' (default), 'diou' or 'ciou'.

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
        **kwargs: ``delta``, half-width of the smoothed step in logits (1); ``self_balance``,
            whether a ratio that follows the training multiplies the box loss (False);
            ``initial_ratio``, weight of the box loss in the first period (None is 50 with and 1
            without self-balancing); ``balance_every``, which sets the ratio every so many calls in
            training, without a hook; ``scope``, what is one ranking: 'process' (default), 'image'
            or 'global'; ``error_skew``, exponent of the error distribution (0 as published);
            ``loss_weight``, factor of both losses (1); ``box_loss``, how boxes are compared: 'iou',
            'giou' (default), 'diou' or 'ciou'.

    Reference:
        Oksuz et al., NeurIPS 2020, arXiv:2009.13592, Appendix on ranking measures.
    """

    def _parts(self, logits: Tensor, ranking: Ranking, box_losses: Tensor) -> tuple[Tensor, Tensor]:
        return error_driven_loss(logits, ranking, ndcg_terms(ranking)), ranking.mean(box_losses)
