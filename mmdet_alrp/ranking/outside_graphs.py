"""Keeps what follows from the data out of the graphs of ``torch.compile``."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

import torch

Function = TypeVar('Function', bound=Callable)


def outside_graphs(function: Function) -> Function:
    """Decorate a function that ``torch.compile`` is to call as it is.

    The sizes of a ranking follow from the number of positives, and its kernels are made already.
    A graph of it would be compiled again in every step, or not at all. The network before it is
    still compiled. ``torch.compiler.disable`` alone would import the compiler, a second, for
    everyone.

    Args:
        function: Called unchanged, in a compiled region and elsewhere.
    """
    is_compiling = getattr(getattr(torch, 'compiler', None), 'is_compiling', None)
    if is_compiling is None:  # torch 2.2 and older cannot tell
        return function

    @wraps(function)
    def called_as_it_is(*args, **kwargs):
        if is_compiling():
            return torch.compiler.disable(function)(*args, **kwargs)
        return function(*args, **kwargs)

    return called_as_it_is
