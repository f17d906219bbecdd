"""Samples on the machines of a Ray cluster, or on this one."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable, Iterator
from types import ModuleType

from .proxy import ProxyResult, ProxyTask
from .sample_process import (
    SampleProcess,
    check_timeout,
    describe_failure,
    start_variables,
    wait_for,
)

MISSING = "executor: Ray is not installed: pip install 'mmdet-alrp[search]'"


class RayExecutor:
    """Trains samples side by side where Ray finds room for them.

    Ray says where and when; there each sample has a process of its own as with
    :class:`~mmdet_alrp.segmentation.search.executors.LocalExecutor`, so that it fails alone, its
    time limit counts from its own start and its log lies in its folder. All machines must see that
    folder, the config and the data under the same paths.

    Args:
        timeout: Seconds a sample may take; None is without limit.
        num_cpus: Cores that a sample is given, and its threads.
        num_gpus: GPUs that a sample is given; 0.5 puts two samples on one.
        address: Of a running cluster, 'auto' for one on this machine; None starts Ray on this
            machine alone and ends it with the search.

    Raises:
        ImportError: If Ray is not installed.
        ValueError: If an argument is not as said here.
    """

    def __init__(
        self,
        timeout: float | None = None,
        num_cpus: int = 1,
        num_gpus: float = 0,
        address: str | None = None,
    ) -> None:
        check_timeout(timeout)
        if type(num_cpus) is not int or num_cpus < 1:
            raise ValueError(f'executor: num_cpus must be a whole number >= 1, got {num_cpus!r}')
        is_number = isinstance(num_gpus, int | float) and not isinstance(num_gpus, bool)
        if not (is_number and 0 <= num_gpus < math.inf):
            raise ValueError(f'executor: num_gpus must be a number >= 0, got {num_gpus!r}')
        self.timeout = timeout
        self.num_cpus = num_cpus
        self.num_gpus = num_gpus
        self.address = address
        self._ray = _import_ray()
        self._is_ours = False

    def run(self, tasks: Iterable[ProxyTask]) -> Iterator[ProxyResult]:
        """Train samples side by side; leaving the iteration early ends those that run.

        Args:
            tasks: The samples.

        Yields:
            The result of each sample as it ends, failed ones too.

        Raises:
            ConnectionError: If there is no cluster at the address.
        """
        ray = self._ray
        self._connect()
        # A lost machine is a failed sample, not one that is silently trained again.
        options = {'num_cpus': self.num_cpus, 'num_gpus': self.num_gpus, 'max_retries': 0}
        train = ray.remote(**options)(_train)
        waiting = {train.remote(task, self.timeout, self.num_cpus): task for task in tasks}
        started = time.monotonic()
        try:
            while waiting:
                (reference,), _ = ray.wait(list(waiting), num_returns=1)
                task = waiting.pop(reference)
                try:
                    result = ray.get(reference)
                except ray.exceptions.RayError as error:
                    seconds = time.monotonic() - started
                    reason = describe_failure(error)
                    result = ProxyResult(task.round, task.index, None, {}, seconds, reason)
                yield result
        finally:
            for reference in waiting:
                ray.cancel(reference, force=True)

    def close(self) -> None:
        """End Ray if this executor has started it."""
        if self._is_ours:
            self._ray.shutdown()
            self._is_ours = False

    def _connect(self) -> None:
        if self._ray.is_initialized():
            return
        settings = {'log_to_driver': False, 'configure_logging': False}
        if self.address is None:
            # Reachable from this machine only, and silent towards Ray's makers.
            os.environ.setdefault('RAY_USAGE_STATS_ENABLED', '0')
            settings.update(include_dashboard=False, _node_ip_address='127.0.0.1')
            settings.update(runtime_env={'env_vars': start_variables()})
        self._ray.init(address=self.address or 'local', **settings)
        self._is_ours = True


def _train(task: ProxyTask, timeout: float | None, threads: int) -> ProxyResult:
    """Run one sample where Ray has put it."""
    sample = SampleProcess(task, timeout, threads)
    try:
        while not sample.has_ended:
            wait_for([sample])
        return sample.finish()
    finally:
        sample.kill()


def _import_ray() -> ModuleType:
    try:
        import ray
    except ImportError:
        raise ImportError(MISSING) from None
    return ray
