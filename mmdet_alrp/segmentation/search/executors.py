"""What trains the samples of a round: processes of this machine, or Ray."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from .proxy import ProxyResult, ProxyTask
from .ray_executor import RayExecutor
from .sample_process import SampleProcess, check_timeout, wait_for


class LocalExecutor:
    """Trains samples side by side, each in a process of its own.

    A sample that crashes, runs out of memory or time, or raises takes nothing else with it: its
    process is ended together with those it started, and the result says why. What it prints goes to
    ``log.txt`` in its folder.

    Args:
        workers: Samples at a time.
        timeout: Seconds a sample may take; None is without limit.
        threads: CPU threads of a sample; None shares the cores among the workers. Sums depend on
            it in the last digits, so two machines agree only with the same number.
        devices: Indices of the GPUs that the workers take in turn; none leaves the choice to
            MMEngine.

    Raises:
        ValueError: If an argument is not as said here.
    """

    def __init__(
        self,
        workers: int = 1,
        timeout: float | None = None,
        threads: int | None = None,
        devices: Sequence[int] = (),
    ) -> None:
        _check_count('workers', workers)
        check_timeout(timeout)
        if threads is None:
            threads = max(1, (os.cpu_count() or 1) // workers)
        _check_count('threads', threads)
        if not all(type(device) is int and device >= 0 for device in devices):
            raise ValueError(f'executor: devices must be indices of GPUs, got {devices!r}')
        self.workers = workers
        self.timeout = timeout
        self.threads = threads
        self.devices = tuple(devices)

    def run(self, tasks: Iterable[ProxyTask]) -> Iterator[ProxyResult]:
        """Train samples side by side; leaving the iteration early kills those that run.

        Args:
            tasks: The samples.

        Yields:
            The result of each sample as it ends, failed ones too.
        """
        waiting = list(tasks)[::-1]
        free = list(range(self.workers))[::-1]
        running: dict[int, SampleProcess] = {}
        try:
            while waiting or running:
                while waiting and free:
                    slot = free.pop()
                    running[slot] = self._start(waiting.pop(), slot)
                wait_for(running.values())
                for slot in [slot for slot, sample in running.items() if sample.has_ended]:
                    free.append(slot)
                    yield running.pop(slot).finish()
        finally:
            for sample in running.values():
                sample.kill()

    def close(self) -> None:
        """Release nothing: processes end with their samples."""

    def _start(self, task: ProxyTask, slot: int) -> SampleProcess:
        device = self.devices[slot % len(self.devices)] if self.devices else None
        return SampleProcess(task, self.timeout, self.threads, device)


_EXECUTORS: dict[str, Callable[..., LocalExecutor | RayExecutor]] = {
    'local': LocalExecutor,
    'ray': RayExecutor,
}


def build_executor(settings: Mapping[str, Any] | None = None) -> LocalExecutor | RayExecutor:
    """Build the executor that a config's ``search.executor`` asks for.

    Args:
        settings: ``type``, 'local' (also if it is left out) or 'ray', and its arguments.

    Raises:
        ValueError: If the type, an argument or its value is unknown, in one line.
        ImportError: If Ray is to be used and is not installed.
    """
    settings = dict(settings or {})
    name = settings.pop('type', 'local')
    if name not in _EXECUTORS:
        raise ValueError(f'executor: type must be one of {", ".join(_EXECUTORS)}, got {name!r}')
    try:
        return _EXECUTORS[name](**settings)
    except TypeError as error:
        reason = str(error).partition('() ')[2] or error
        raise ValueError(f'executor: {name}: {reason}') from None


def _check_count(name: str, value: object) -> None:
    if type(value) is not int or value < 1:
        raise ValueError(f'executor: {name} must be a whole number >= 1, got {value!r}')
