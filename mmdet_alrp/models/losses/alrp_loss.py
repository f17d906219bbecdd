"""The registered aLRP Loss."""

from __future__ import annotations

from typing import Any

from mmdet.registry import MODELS
from torch import Tensor, nn

from mmdet_alrp.ranking import Ranking, alrp_box_weights, alrp_terms, error_driven_loss

from .balanced_loss import BalancedRankingLoss
from .ranking_loss import BOX_LOSS_RANGE


@MODELS.register_module(name=['ALRPLoss', 'aLRPLoss'])
class ALRPLoss(BalancedRankingLoss):
    """Average Localisation-Recall-Precision Loss with self-balancing.

    It stands in a head's ``loss_cls``; the head's ``loss_bbox`` is one of IoULoss (linear),
    GIoULoss, DIoULoss and CIoULoss and tells the localisation errors.

    Args:
        delta: Half-width of the smoothed step, in logits.
        tau: IoU from which a box counts as a true positive: the assigner's positive threshold.
        self_balance: As :class:`BalancedRankingLoss`.
        **kwargs: ``initial_ratio`` as :class:`BalancedRankingLoss`; ``scope``, ``error_skew``,
            ``loss_weight`` and ``use_sigmoid`` as :class:`RankingLoss`.

    Raises:
        ValueError: If ``tau`` is outside [0, 1); else as :class:`BalancedRankingLoss`.

    Reference:
        Oksuz et al., NeurIPS 2020, arXiv:2009.13592.
    """

    needs_boxes = True

    def __init__(
        self, delta: float = 1.0, tau: float = 0.5, self_balance: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(delta=delta, self_balance=self_balance, **kwargs)
        if not 0 <= tau < 1:
            raise ValueError(f'tau must be an IoU in [0, 1), got {tau}')
        self.tau = tau
        self._box_loss_range = 2.0

    def check_box_loss(self, loss_bbox: nn.Module, decoded: bool) -> None:
        """Refuse a box loss that gives no localisation error, and learn the range of a good one.

        Args:
            loss_bbox: The head's box loss.
            decoded: Whether the head hands it boxes, and not the deltas of a box coder.

        Raises:
            ValueError: If it is not one of the known ones, not linear, not of weight 1 or not of
                decoded boxes.
        """
        name = type(loss_bbox).__name__
        if name not in BOX_LOSS_RANGE:
            raise ValueError(
                f'ALRPLoss needs a loss_bbox of {", ".join(BOX_LOSS_RANGE)} to measure '
                f'localisation, got {name}'
            )
        super().check_box_loss(loss_bbox, decoded)
        if getattr(loss_bbox, 'mode', 'linear') != 'linear':
            raise ValueError(
                f"ALRPLoss needs IoULoss(mode='linear') to measure localisation as 1 - IoU, "
                f'got mode={loss_bbox.mode!r}'
            )
        if loss_bbox.loss_weight != 1:
            raise ValueError(
                'loss_bbox of a head with ALRPLoss must have loss_weight=1.0 (its weight is the '
                f'self-balance ratio), got {loss_bbox.loss_weight}'
            )
        self._box_loss_range = BOX_LOSS_RANGE[name]

    def loc_errors(self, box_losses: Tensor) -> Tensor:
        """Scale box losses to localisation errors E; 0 is a perfect box.

        With IoU, ``E = (1 - IoU) / (1 - tau)`` is 1 at IoU tau. With GIoU and others of range
        [0, 2], ``E = (1 - GIoU) / 2 / (1 - tau)`` is .5 at IoU tau, for two boxes whose hull is
        their union, and 1 at ``GIoU = 2 tau - 1``.

        Args:
            box_losses: Unreduced box losses, shape (num_pos,).
        """
        return box_losses / (self._box_loss_range * (1 - self.tau))

    def _parts(self, logits: Tensor, ranking: Ranking, box_losses: Tensor) -> tuple[Tensor, Tensor]:
        loc_errors = self.loc_errors(box_losses)
        loss_cls = error_driven_loss(logits, ranking, alrp_terms(ranking, loc_errors))
        return loss_cls, ranking.weighted_sum(alrp_box_weights(ranking), loc_errors)
