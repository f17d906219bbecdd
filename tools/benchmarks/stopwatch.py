"""Books the time of a training step on its parts."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from frame import wait_for

PARTS = ('forward', 'assigner', 'targets', 'loss', 'backward', 'optimiser', 'rest')


class Stopwatch:
    """Sums the time of each part in ``seconds``; a part inside another counts for itself only.

    Args:
        device: Waited for before each look at the clock.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._open = ['rest']
        self._since = 0.0

    def _book(self) -> None:
        wait_for(self.device)
        now = time.perf_counter()
        self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def wrap(self, function: Callable, part: str) -> Callable:
        """The function, its time booked under ``part``."""

        def timed(*args: object, **kwargs: object) -> object:
            self._book()
            self._open.append(part)
            try:
                return function(*args, **kwargs)
            finally:
                self._book()
                self._open.pop()

        return timed

    @contextmanager
    def running(self, methods: list[tuple[object, str, str]]) -> Iterator[None]:
        """Book what happens inside; ``methods`` are (owner, name of the method, part)."""
        own = [vars(owner).get(name) for owner, name, _ in methods]  # functions of a module
        for owner, name, part in methods:
            setattr(owner, name, self.wrap(getattr(owner, name), part))
        self._since = time.perf_counter()
        try:
            yield
        finally:
            self._book()
            for (owner, name, _), function in zip(methods, own, strict=True):
                if function is None:
                    delattr(owner, name)  # the class's method shows again
                else:
                    setattr(owner, name, function)
