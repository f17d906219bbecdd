"""Ranking losses that can balance their box loss by themselves."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmdet_alrp.ranking import Ranking

from .ranking_loss import RankedLosses, RankingLoss
from .self_balance import SelfBalance


class BalancedRankingLoss(RankingLoss):
    """A ranking loss whose box loss is multiplied by a self-balance ratio.

    A subclass says in ``_parts`` what its classification and its box loss are.

    Args:
        self_balance: Let :class:`~mmdet_alrp.engine.hooks.SelfBalanceHook` set the weight of the
            box loss; False keeps it fixed.
        initial_ratio: Weight of the box loss in the first epoch, or, without self-balancing, in all
            of them; None is 50 with and 1 without self-balancing.
        **kwargs: As :class:`RankingLoss`.

    Raises:
        ValueError: If ``initial_ratio`` is not positive; else as :class:`RankingLoss`.
    """

    def __init__(
        self, self_balance: bool = False, initial_ratio: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.balance = SelfBalance(self_balance, initial_ratio)

    def _losses(
        self, logits: Tensor, ranking: Ranking, box_losses: Tensor, ious: Tensor | None
    ) -> RankedLosses:
        return self._balanced(*self._parts(logits, ranking, box_losses))

    def _parts(self, logits: Tensor, ranking: Ranking, box_losses: Tensor) -> tuple[Tensor, Tensor]:
        """Return the classification and the bare box loss of a ranking."""
        raise TypeError(f'{type(self).__name__} does not say what it makes of a ranking')

    def _losses_without_positives(self, logits: Tensor, box_losses: Tensor) -> RankedLosses:
        losses = super()._losses_without_positives(logits, box_losses)
        return self._balanced(losses.loss_cls, losses.loss_bbox)

    def _balanced(self, loss_cls: Tensor, loss_box: Tensor) -> RankedLosses:
        log = {'loc_error': loss_box.detach(), 'self_balance_ratio': self.balance.ratio.clone()}
        return RankedLosses(loss_cls, self.balance(loss_cls, loss_box), log)
