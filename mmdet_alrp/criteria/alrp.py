"""The aLRP criterion."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from mmdet_alrp.ranking import Ranking, alrp_box_weights, alrp_terms, error_driven_loss

from .balanced import BalancedCriterion
from .box_losses import BOX_LOSS_RANGE


class ALRPCriterion(BalancedCriterion):
    """Average Localisation-Recall-Precision Loss with self-balancing.

    Args:
        delta: Half-width of the smoothed step, in logits.
        tau: IoU from which a box counts as a true positive: the assigner's positive threshold.
        self_balance: Let the weight of the box loss follow the course of training; False keeps it
            at ``initial_ratio``.
        box_weight_exponent: Exponent of the weights that the boxes get from their ranks; 1 is the
            published loss, 0 trains all boxes alike.
        **kwargs: ``initial_ratio``, weight of the box loss in the first period (None is 50 with and
            1 without self-balancing); ``balance_every``, which sets the ratio every so many calls
            in training, without a hook; ``scope``, what is one ranking: 'process' (default),
            'image' or 'global'; ``error_skew``, exponent of the error distribution (0 as
            published); ``loss_weight``, factor of both losses (1); ``box_loss``, how boxes are
            compared: 'iou', 'giou' (default), 'diou' or 'ciou'.

    Raises:
        ValueError: If an argument is out of its range or unknown, such as a ``tau`` outside [0, 1).
        TypeError: If a keyword is not one of these.

    Reference:
        Oksuz et al., NeurIPS 2020, arXiv:2009.13592.
    """

    def __init__(
        self,
        delta: float = 1.0,
        tau: float = 0.5,
        self_balance: bool = True,
        box_weight_exponent: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(delta=delta, self_balance=self_balance, **kwargs)
        if not 0 <= tau < 1:
            raise ValueError(f'tau must be an IoU in [0, 1), got {tau}')
        if not 0 <= box_weight_exponent < float('inf'):
            raise ValueError(
                f'box_weight_exponent must be a finite number >= 0, got {box_weight_exponent}'
            )
        self.tau = tau
        self.box_weight_exponent = box_weight_exponent
        self._box_loss_range = BOX_LOSS_RANGE[self.box_loss]

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
        box_weights = alrp_box_weights(ranking, self.box_weight_exponent)
        return loss_cls, ranking.weighted_sum(box_weights, loc_errors)
