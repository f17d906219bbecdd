"""The self-balance ratio between the localisation and the classification part of a loss."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mmdet_alrp.ranking.collectives import sum_over_processes


class SelfBalance(nn.Module):
    """Multiplies a localisation loss by a ratio that follows the course of training.

    For the first period (an epoch) the ratio is ``initial_ratio``; afterwards it is
    ``mean(L_cls + L_loc) / mean(L_loc)`` over the period that just ended. The module collects the
    sums on its device. A period ends every ``every`` calls, or when
    :class:`~mmdet_alrp.engine.hooks.SelfBalanceHook` or a training loop calls :meth:`end_period`.
    Ratio, sums and the number of calls are buffers, so they survive a resume; if not enabled they
    are in no checkpoint. ``DistributedDataParallel`` needs ``broadcast_buffers=False``, or the sums
    of the first process would replace those of the others.

    Args:
        enabled: False keeps the ratio at ``initial_ratio`` for good.
        initial_ratio: Ratio of the first period; None takes 50 if enabled, else 1.
        every: End a period every so many calls in training. Then the sums are those of all
            processes of ``torch.distributed``, which must call equally often. None leaves the end
            of periods to others.

    Raises:
        ValueError: If ``initial_ratio`` or ``every`` is not positive, or ``every`` is given
            although not enabled.

    Attributes:
        driven: Whether something ends the periods: ``every``, or the hook while it trains. In no
            checkpoint.

    Reference:
        Oksuz et al., NeurIPS 2020, arXiv:2009.13592, Section 4.2 and Appendix F.3.
    """

    def __init__(
        self,
        enabled: bool = True,
        initial_ratio: float | None = None,
        every: int | None = None,
    ) -> None:
        super().__init__()
        if initial_ratio is None:
            initial_ratio = 50.0 if enabled else 1.0
        if not 0 < initial_ratio < float('inf'):
            raise ValueError(f'initial_ratio must be a positive number, got {initial_ratio}')
        if every is not None and (type(every) is not int or every < 1):
            raise ValueError(f'balance_every must be a positive integer or None, got {every!r}')
        if every is not None and not enabled:
            raise ValueError('balance_every needs self_balance=True: a fixed ratio has no periods')
        self.enabled = enabled
        self.every = every
        self.driven = every is not None
        # A fixed ratio is the config's, whatever ratio another run's checkpoint had come to.
        self.register_buffer('ratio', torch.tensor(float(initial_ratio)), persistent=enabled)
        # Sums of L_cls and L_loc over the period so far
        self.register_buffer('sums', torch.zeros(2), persistent=enabled)
        if every is not None:
            # The host counts too, so that no step waits for the device.
            self.register_buffer('calls', torch.zeros((), dtype=torch.long))
            self._calls = 0
            self.register_load_state_dict_post_hook(_read_calls)

    def forward(self, loss_cls: Tensor, loss_loc: Tensor) -> Tensor:
        """Return ``ratio * loss_loc``; in training, note both losses for the next ratio.

        Args:
            loss_cls: Unweighted classification loss, a scalar.
            loss_loc: Unweighted localisation loss, a scalar.

        Raises:
            ValueError: If the module is on another device than the losses.
        """
        ratio = self.ratio
        if self.training and self.enabled:
            if self.sums.device != loss_cls.device:
                raise ValueError(
                    f'the criterion is on {self.sums.device} and the predictions are on '
                    f'{loss_cls.device}: move the criterion there, criterion.to(device)'
                )
            with torch.no_grad():
                self.sums += torch.stack([loss_cls, loss_loc]).to(self.sums.dtype)
            if self.every is not None:
                ratio = ratio.clone()  # this call still belongs to the period that may end here
                self._count()
        return ratio * loss_loc

    def start_over(self) -> None:
        """Begin a first period: forget sums and calls that came with weights of another run."""
        self.sums.zero_()
        if self.every is not None:
            self.calls.zero_()
            self._calls = 0

    def read_calls(self) -> None:
        """Go on counting calls where the buffers stand, after these were replaced."""
        if self.every is not None:
            self._calls = int(self.calls)

    def _count(self) -> None:
        self.calls += 1
        self._calls += 1
        if self._calls % self.every == 0:
            several = dist.is_available() and dist.is_initialized()
            self.end_period(sum_over_processes(self.sums, True) if several else self.sums.clone())

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


def _read_calls(balance: SelfBalance, incompatible_keys: object) -> None:
    """Go on counting where a checkpoint stopped."""
    balance.read_calls()
