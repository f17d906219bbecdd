"""Ranking criteria that can balance their box loss by themselves."""

from __future__ import annotations

import warnings
from typing import Any

from torch import Tensor

from mmdet_alrp.ranking import Ranking

from .criterion import RankedLosses, RankingCriterion
from .self_balance import SelfBalance


class BalancedCriterion(RankingCriterion):
    """A criterion whose box loss is multiplied by a self-balance ratio.

    A subclass returns its classification and its box loss from ``_parts``.

    Args:
        self_balance: Let the ratio follow the course of training; False keeps it fixed.
        initial_ratio: Weight of the box loss in the first period, or, without self-balancing, for
            good; None is 50 with and 1 without self-balancing.
        balance_every: Set the ratio every so many calls in training, without a hook; None leaves
            it to :class:`~mmdet_alrp.engine.hooks.SelfBalanceHook` or to calls of
            ``balance.end_period``.
        **kwargs: ``delta``, half-width of the smoothed step in logits (1); ``scope``, what is one
            ranking: 'process' (default), 'image' or 'global'; ``error_skew``, exponent of the error
            distribution (0 as published); ``loss_weight``, factor of both losses (1); ``box_loss``,
            how boxes are compared: 'iou', 'giou' (default), 'diou' or 'ciou'.

    Raises:
        ValueError: If ``initial_ratio`` or ``balance_every`` is not positive, ``balance_every``
            comes without ``self_balance``, or another argument is out of its range or unknown.
    """

    def __init__(
        self,
        self_balance: bool = False,
        initial_ratio: float | None = None,
        balance_every: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.balance = SelfBalance(self_balance, initial_ratio, balance_every)
        self._has_warned = False

    def _before_ranking(self) -> None:
        balance = self.balance
        if not self.training or not balance.enabled or balance.driven or self._has_warned:
            return
        self._has_warned = True
        warnings.warn(
            f'{type(self).__name__} balances its box loss, but without balance_every=N nothing '
            'sets the ratio. If you call balance.end_period(...) after each epoch, nothing is '
            'wrong; for a fixed weight set self_balance=False and initial_ratio',
            stacklevel=5,
        )

    def _losses(
        self, logits: Tensor, ranking: Ranking, box_losses: Tensor, ious: Tensor | None
    ) -> RankedLosses:
        return self._balanced(*self._parts(logits, ranking, box_losses))

    def _parts(self, logits: Tensor, ranking: Ranking, box_losses: Tensor) -> tuple[Tensor, Tensor]:
        """Return the classification and the bare box loss of a ranking."""
        raise TypeError(f'{type(self).__name__} must define _parts(logits, ranking, box_losses)')

    def _losses_without_positives(self, logits: Tensor, box_losses: Tensor) -> RankedLosses:
        losses = super()._losses_without_positives(logits, box_losses)
        return self._balanced(losses.loss_cls, losses.loss_bbox)

    def _balanced(self, loss_cls: Tensor, loss_box: Tensor) -> RankedLosses:
        log = {'loc_error': loss_box.detach(), 'self_balance_ratio': self.balance.ratio.clone()}
        return RankedLosses(loss_cls, self.balance(loss_cls, loss_box), log)
