"""Warns once if a loss that balances itself is trained without the hook that sets its ratio."""

from __future__ import annotations

import logging

from mmengine.logging import print_log
from torch import nn

HOOK_LINE = "default_hooks = dict(self_balance=dict(type='SelfBalanceHook'))"


def warn_without_hook(loss: nn.Module) -> None:
    """Warn, at the first training step, that nothing sets the self-balance ratio of a loss.

    Args:
        loss: A ranking loss; one without a ratio, or with a fixed one, needs no hook.
    """
    balance = getattr(loss, 'balance', None)
    if not loss.training or balance is None or not balance.enabled or balance.driven:
        return
    if getattr(loss, '_warned_without_hook', False):
        return
    loss._warned_without_hook = True
    print_log(
        f'{type(loss).__name__}: self_balance=True, but no SelfBalanceHook sets the weight of the '
        f'box loss: it stays as it is. In a config: {HOOK_LINE}. Without the runner of MMEngine: '
        'balance_every=N, a period in steps. For a fixed weight: self_balance=False and '
        'initial_ratio',
        logger='current',
        level=logging.WARNING,
    )
