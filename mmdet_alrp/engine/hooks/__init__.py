"""Registered hooks."""

from mmdet_alrp import fitting_stack  # noqa: F401

from .batch_check_hook import BatchCheckHook
from .channels_last_hook import ChannelsLastHook
from .finite_loss_hook import FiniteLossHook, NotFiniteError
from .gradient_balance_hook import GradientBalanceHook
from .safe_checkpoint_hook import SafeCheckpointHook
from .self_balance_hook import SelfBalanceHook

__all__ = [
    'BatchCheckHook',
    'ChannelsLastHook',
    'FiniteLossHook',
    'GradientBalanceHook',
    'NotFiniteError',
    'SafeCheckpointHook',
    'SelfBalanceHook',
]
