"""Lets torch's safe unpickler read what MMEngine writes.

From torch 2.6 on ``torch.load`` builds only objects of classes that are on its list of safe
globals. MMEngine's checkpoints hold the log history as ``HistoryBuffer`` objects around NumPy
arrays, and now and then a NumPy scalar. Those classes are put on the list, nothing else: files
that hold other objects are still refused.

A ``HistoryBuffer`` also pickles its table of methods, each as ``getattr(HistoryBuffer, name)``.
``getattr`` on the list would open the door to everything, so its name leads to
:func:`history_method`, which gives those methods away and nothing else.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.utils import digit_version

# What a log history, a best score or a figure in the message hub may consist of.
SCALAR_TYPES = (np.float64, np.float32, np.int64, np.int32, np.bool_)
HISTORY_METHODS = ('min', 'max', 'current', 'mean')


def history_method(owner: object, name: str) -> Callable:
    """Return a statistics method of ``HistoryBuffer``: what ``getattr`` is needed for.

    Args:
        owner: Must be ``HistoryBuffer``.
        name: One of ``HISTORY_METHODS``.

    Raises:
        pickle.UnpicklingError: If anything else is asked for.
    """
    if owner is not HistoryBuffer or name not in HISTORY_METHODS:
        raise pickle.UnpicklingError(f'Unsupported attribute {name!r} of {owner!r} in a checkpoint')
    return getattr(HistoryBuffer, name)


def checkpoint_classes() -> list[tuple[Callable, str]]:
    """Return the classes and functions that MMEngine's checkpoints need, torch's own left out.

    Each comes with the name under which it is pickled. NumPy 1 and 2 keep functions in modules of
    different names, and a checkpoint may come from either. A class would do without; but a loader
    that lets bare classes in for one file takes them off the list afterwards, whoever put them
    there, as that of onedl-mmengine does.
    """
    reconstruct = np.empty(0).__reduce__()[0]
    scalar = np.float64(0).__reduce__()[0]
    functions = [
        (function, f'numpy.{core}.multiarray.{name}')
        for core in ('core', '_core')
        for function, name in ((reconstruct, '_reconstruct'), (scalar, 'scalar'))
    ]
    functions.append((history_method, 'builtins.getattr'))
    # NumPy pickles a dtype as numpy.dtype(...), but the unpickler asks for its own class
    dtypes = {type(np.dtype(scalar_type)) for scalar_type in SCALAR_TYPES}
    classes = [HistoryBuffer, np.ndarray, np.dtype, *sorted(dtypes, key=repr)]
    return [*((cls, f'{cls.__module__}.{cls.__qualname__}') for cls in classes), *functions]


def allow_checkpoint_classes() -> bool:
    """Put :func:`checkpoint_classes` on torch's list of safe globals.

    Returns:
        False where torch is so old (before 2.6) that it reads checkpoints without the list.
    """
    add_safe_globals = getattr(torch.serialization, 'add_safe_globals', None)
    # 2.4 and 2.5 know no pairs of function and name; like older ones they do not load safely
    # unless they are asked to
    takes_pairs = digit_version(torch.__version__) >= digit_version('2.6')
    if add_safe_globals is None or not takes_pairs:
        return False
    add_safe_globals(checkpoint_classes())
    return True
