"""Importing this lets MMEngine load its own checkpoints on any torch.

From torch 2.6 on ``torch.load`` refuses the log history in a checkpoint of MMEngine, so a stock
``--resume`` or ``init_detector`` fails. MMEngine's loaders of files and of addresses are registered
again, each with the few classes that it needs on torch's list while it loads. Nothing outside of a
load is changed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from mmengine.runner.checkpoint import CheckpointLoader, load_from_http, load_from_local

from .checkpoint_safety import checkpoint_globals


def with_checkpoint_globals(loader: Callable) -> Callable:
    """Return a loader of checkpoints that may build the objects which MMEngine saves.

    Args:
        loader: As MMEngine's ``CheckpointLoader`` takes them.
    """

    @functools.wraps(loader)  # MMEngine's log names it
    def load(*args: Any, **kwargs: Any) -> Any:
        with checkpoint_globals():
            return loader(*args, **kwargs)

    return load


CheckpointLoader.register_scheme('', with_checkpoint_globals(load_from_local), force=True)
CheckpointLoader.register_scheme(
    ('http://', 'https://'), with_checkpoint_globals(load_from_http), force=True
)
