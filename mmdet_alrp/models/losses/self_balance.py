"""The self-balance ratio between the localisation and the classification part of a loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class SelfBalance(nn.Module):
    """Multiplies a localisation loss by a ratio that follows the course of training.

    For the first period (an epoch) the ratio is ``initial_ratio``; afterwards it is
    ``mean(L_cls + L_loc) / mean(L_loc)`` over the period that just ended. The module collects the
    sums on its device; :class:`~mmdet_alrp.engine.hooks.SelfBalanceHook` ends the periods. Ratio
    and sums are buffers, so both survive a resume; if not enabled they are in no checkpoint.

    Attributes:
        driven: Whether something ends the periods; the hook says so while it trains. In no
            checkpoint.

    Args:
        enabled: False keeps the ratio at ``initial_ratio`` for good.
        initial_ratio: Ratio of the first period; None takes 50 if enabled, else 1.

    Raises:
        ValueError: If ``initial_ratio`` is not positive.

    Reference:
        Oksuz et al., NeurIPS 2020, arXiv:2009.13592, Section 4.2 and Appendix F.3.
    """

    driven = False

    def __init__(self, enabled: bool = True, initial_ratio: float | None = None) -> None:
        super().__init__()
        if initial_ratio is None:
            initial_ratio = 50.0 if enabled else 1.0
        if not 0 < initial_ratio < float('inf'):
            raise ValueError(f'initial_ratio must be a positive number, got {initial_ratio}')
        self.enabled = enabled
        # A fixed ratio is the config's, whatever ratio another run's checkpoint had come to.
        self.register_buffer('ratio', torch.tensor(float(initial_ratio)), persistent=enabled)
        # Sums of L_cls and L_loc over the period so far
        self.register_buffer('sums', torch.zeros(2), persistent=enabled)

    def forward(self, loss_cls: Tensor, loss_loc: Tensor) -> Tensor:
        """Return ``ratio * loss_loc``; in training, note both losses for the next ratio.

        Args:
            loss_cls: Unweighted classification loss, a scalar.
            loss_loc: Unweighted localisation loss, a scalar.
        """
        if self.training and self.enabled:
            with torch.no_grad():
                self.sums += torch.stack([loss_cls, loss_loc]).to(self.sums.dtype)
        return self.ratio * loss_loc

    def end_period(self, sums: Tensor) -> bool:
        """Set the ratio from the losses of the period that ended and start a new period.

        Args:
            sums: Sums of L_cls and L_loc over the period and all processes, shape (2,).

        Returns:
            Whether the ratio was set; it stays as it was where the sums give none: no positive in
            the whole period, or a loss that was not finite.
        """
        ratio = sums.sum() / sums[1]
        usable = bool(sums[1] > 0) and bool(ratio.isfinite())
        self.sums.zero_()
        if usable:
            self.ratio.copy_(ratio)
        return usable
