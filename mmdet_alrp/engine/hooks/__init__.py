"""Registered hooks: those of the losses, and the guards of a run."""

from mmdet_alrp import fitting_stack  # noqa: F401
from mmdet_alrp.guards import checkpoint_loading  # noqa: F401
from mmdet_alrp.guards.batch_check_hook import BatchCheckHook
from mmdet_alrp.guards.errors import (
    BrokenBatchError,
    CheckpointNotSavedError,
    GuardError,
    NotFiniteError,
)
from mmdet_alrp.guards.finite_loss_hook import FiniteLossHook
from mmdet_alrp.guards.safe_checkpoint_hook import SafeCheckpointHook

from .channels_last_hook import ChannelsLastHook
from .gradient_balance_hook import GradientBalanceHook
from .self_balance_hook import SelfBalanceHook

__all__ = [
    'BatchCheckHook',
    'BrokenBatchError',
    'ChannelsLastHook',
    'CheckpointNotSavedError',
    'FiniteLossHook',
    'GradientBalanceHook',
    'GuardError',
    'NotFiniteError',
    'SafeCheckpointHook',
    'SelfBalanceHook',
]
