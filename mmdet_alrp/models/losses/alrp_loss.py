"""The registered aLRP Loss."""

from __future__ import annotations

from mmdet.registry import MODELS
from torch import Tensor, nn

from mmdet_alrp.ranking import alrp_loss

from .self_balance import SelfBalance

# Largest value of the box losses that measure localisation as 1 - (generalised) IoU.
BOX_LOSS_RANGE = {'IoULoss': 1.0, 'GIoULoss': 2.0, 'DIoULoss': 2.0, 'CIoULoss': 2.0}


@MODELS.register_module(name=['ALRPLoss', 'aLRPLoss'])
class ALRPLoss(nn.Module):
    """Registered form of :func:`mmdet_alrp.ranking.alrp_loss` with self-balancing.

    It stands in a head's ``loss_cls``; the head's ``loss_bbox`` is one of IoULoss (linear),
    GIoULoss, DIoULoss and CIoULoss and tells the localisation errors.

    Args:
        delta: Half-width of the smoothed step, in logits.
        tau: IoU from which a box counts as a true positive: the assigner's positive threshold.
        self_balance: Let :class:`~mmdet_alrp.engine.hooks.SelfBalanceHook` set the weight of the
            localisation part; False keeps it fixed.
        initial_ratio: Weight of the localisation part in the first epoch, or, without
            self-balancing, in all of them; None is 50 with and 1 without self-balancing.
        loss_weight: Factor of both parts.
        use_sigmoid: Must be True; MMDetection's heads size their classifier by it.

    Raises:
        ValueError: If ``tau`` is outside [0, 1), ``delta`` or ``loss_weight`` is negative,
            ``initial_ratio`` is not positive or ``use_sigmoid`` is False.
    """

    def __init__(
        self,
        delta: float = 1.0,
        tau: float = 0.5,
        self_balance: bool = True,
        initial_ratio: float | None = None,
        loss_weight: float = 1.0,
        use_sigmoid: bool = True,
    ) -> None:
        super().__init__()
        if not use_sigmoid:
            raise ValueError('ALRPLoss ranks independent class scores: use_sigmoid must be True')
        if not 0 <= tau < 1:
            raise ValueError(f'tau must be an IoU in [0, 1), got {tau}')
        if not 0 <= delta < float('inf'):
            raise ValueError(f'delta must be a finite number >= 0, got {delta}')
        if not 0 <= loss_weight < float('inf'):
            raise ValueError(f'loss_weight must be a finite number >= 0, got {loss_weight}')
        self.delta = delta
        self.tau = tau
        self.loss_weight = loss_weight
        self.balance = SelfBalance(self_balance, initial_ratio)

    def check_box_loss(self, loss_bbox: nn.Module) -> None:
        """Refuse a box loss that gives no localisation error.

        Raises:
            ValueError: If it is not one of the known ones, not linear, or not of weight 1.
        """
        name = type(loss_bbox).__name__
        if name not in BOX_LOSS_RANGE:
            raise ValueError(
                f'ALRPLoss needs a loss_bbox of {", ".join(BOX_LOSS_RANGE)} to measure '
                f'localisation, got {name}'
            )
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

    def loc_errors(self, box_losses: Tensor, loss_bbox: nn.Module) -> Tensor:
        """Scale box losses to localisation errors E: 0 for a perfect box, 1 at IoU tau.

        Args:
            box_losses: Unreduced values of ``loss_bbox``, shape (num_pos,).
            loss_bbox: The box loss that gave them.
        """
        return box_losses / (BOX_LOSS_RANGE[type(loss_bbox).__name__] * (1 - self.tau))

    def forward(
        self, logits: Tensor, targets: Tensor, loc_errors: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Rank the whole batch.

        Args:
            logits: Scores before the sigmoid, shape (n,).
            targets: 1 positive, 0 negative, -1 ignored, integer, shape (n,).
            loc_errors: E(i) of the positives, shape (num_pos,).

        Returns:
            The weighted classification loss, the weighted and balanced localisation loss, and the
            bare localisation loss, detached, for the log.
        """
        loss_cls, loss_loc = alrp_loss(logits, targets, loc_errors, self.delta)
        balanced = self.balance(loss_cls, loss_loc)
        return self.loss_weight * loss_cls, self.loss_weight * balanced, loss_loc.detach()
