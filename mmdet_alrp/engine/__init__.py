"""Hooks, optimiser wrapper and what the command-line tools share.

What is registered is left to :mod:`mmdet_alrp.registration`, because it takes long to import.
"""

from . import checkpoint_safety

__all__ = ['checkpoint_safety']

checkpoint_safety.allow_checkpoint_classes()
