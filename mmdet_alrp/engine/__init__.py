"""Hooks, optimiser wrapper and what the command-line tools share."""

from . import bfloat16, checkpoint_safety, hooks, score_thresholds

__all__ = ['bfloat16', 'checkpoint_safety', 'hooks', 'score_thresholds']

checkpoint_safety.allow_checkpoint_classes()
