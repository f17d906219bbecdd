"""Hooks, optimiser wrapper and what the command-line tools share."""

from . import bfloat16, checkpoint_safety, hooks

__all__ = ['bfloat16', 'checkpoint_safety', 'hooks']

checkpoint_safety.allow_checkpoint_classes()
