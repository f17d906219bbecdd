"""Reads what MMEngine writes, and runs no code of a file, on any torch.

From torch 2.6 on ``torch.load`` builds only objects of classes that are on its list of safe
globals. MMEngine's checkpoints hold the log history as ``HistoryBuffer`` objects around NumPy
arrays, and now and then a NumPy scalar. Those classes are on the list while such a file is read,
nothing else: files that hold other objects are still refused. An older torch has no such list, or
none that takes these names: there :func:`load_safely` reads with an unpickler of our own that knows
the same names.

A ``HistoryBuffer`` also pickles its table of methods, each as ``getattr(HistoryBuffer, name)``.
``getattr`` on the list would open the door to everything, so its name leads to
:func:`history_method`, which gives those methods away and nothing else.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import pickle
import zipfile
from collections.abc import Callable
from functools import cache
from typing import Any

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


def checkpoint_globals() -> contextlib.AbstractContextManager:
    """Let ``torch.load`` build :func:`checkpoint_classes`, and only inside of a ``with`` block.

    What somebody else has put on torch's list of safe globals stays there. An older torch (before
    2.6) reads checkpoints without the list; nothing is changed there.
    """
    if not _has_list():
        return contextlib.nullcontext()
    listed = torch.serialization.get_safe_globals()
    ours = [entry for entry in checkpoint_classes() if entry not in listed]
    return torch.serialization.safe_globals(ours)


def load_safely(path: str | os.PathLike, mmap: bool = False) -> Any:
    """Read a checkpoint to the CPU; nothing but tensors and what MMEngine writes is built.

    Args:
        path: File that ``torch.save`` wrote.
        mmap: Leave the tensors in the file where torch (2.1) and the file's format can.

    Returns:
        What was saved.

    Raises:
        pickle.UnpicklingError: If the file holds anything else.
        RuntimeError: If the file is damaged; torch may raise OSError, EOFError, ValueError or
            KeyError too.
    """
    options = {}
    if mmap and digit_version(torch.__version__) >= digit_version('2.1'):
        options['mmap'] = zipfile.is_zipfile(path) or None
    if _has_list():
        with checkpoint_globals():
            return torch.load(path, 'cpu', weights_only=True, **options)
    return torch.load(path, 'cpu', pickle_module=_SafePickle, weights_only=False, **options)


def _has_list() -> bool:
    # 2.4 and 2.5 have a list, but know no pairs of function and name
    return digit_version(torch.__version__) >= digit_version('2.6')


@cache
def _known_globals() -> dict[str, Any]:
    """Return what may be named in a checkpoint, by name."""
    from torch._weights_only_unpickler import _get_allowed_globals

    ours = {name: thing for thing, name in checkpoint_classes()}
    # how bytes, such as those of a NumPy scalar, are pickled for Python 2
    return {**_get_allowed_globals(), **ours, '_codecs.encode': codecs.encode}


class _SafeUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        module = {'__builtin__': 'builtins'}.get(module, module)  # its name in Python 2
        known = _known_globals()
        if f'{module}.{name}' not in known:
            raise pickle.UnpicklingError(f'Unsupported global {module}.{name} in a checkpoint')
        return known[f'{module}.{name}']


class _SafePickle:
    """What ``torch.load`` needs of a pickle module."""

    Unpickler = _SafeUnpickler

    @staticmethod
    def load(file: Any, **options: Any) -> Any:
        return _SafeUnpickler(file, **options).load()
