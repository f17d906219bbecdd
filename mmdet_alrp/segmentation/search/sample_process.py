"""A sample in a process of its own, which can fail in any way without harm to others."""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import gc
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from pathlib import Path

import torch

from .proxy import ProxyResult, ProxyTask, run_proxy

LOG = 'log.txt'
# What every sample imports: loaded once, in the process that the others are forked from.
_PRELOADED = [
    'mmdet_alrp.segmentation.search.sample_process',
    'mmseg.models',
    'mmseg.datasets',
    'torchvision',  # MMEngine's log of the environment names its version
]
_LONGEST_REASON = 500


class SampleProcess:
    """Starts a sample at once.

    Args:
        task: The sample.
        timeout: Seconds it may take; None is without limit.
        threads: Its CPU threads.
        device: Index of the GPU that it alone sees; None leaves all visible.
    """

    def __init__(
        self,
        task: ProxyTask,
        timeout: float | None = None,
        threads: int = 1,
        device: int | None = None,
    ) -> None:
        self.task = task
        self._timeout = timeout
        self._started = time.monotonic()
        self.deadline = None if timeout is None else self._started + timeout
        Path(task.folder).mkdir(parents=True, exist_ok=True)
        context = _context(device)
        self._receiver, sender = context.Pipe(duplex=False)
        self._process = context.Process(target=_work, args=(task, threads, sender))
        with _environment(start_variables(device)):
            self._process.start()
        sender.close()
        atexit.register(self.kill)  # before multiprocessing's own, which waits for the process

    @property
    def handles(self) -> list[Connection | int]:
        """What becomes ready when the sample is done or its process ends."""
        return [self._receiver, self._process.sentinel]

    @property
    def has_ended(self) -> bool:
        """Whether there is a result, no process any more or no time left."""
        late = self.deadline is not None and time.monotonic() >= self.deadline
        return late or self._receiver.poll() or not self._process.is_alive()

    def finish(self) -> ProxyResult:
        """Take the result, or the reason why there is none; ends what still runs."""
        answer = self._answer()
        if answer is None:
            # Its end of the pipe closes a moment before it is gone.
            left = None if self.deadline is None else max(0, self.deadline - time.monotonic())
            self._process.join(left)
        late = self._process.exitcode is None
        self.kill()
        if isinstance(answer, ProxyResult):
            return answer
        reason = answer or (f'took more than {self._timeout:g} s' if late else self._last_words())
        seconds = time.monotonic() - self._started
        return ProxyResult(self.task.round, self.task.index, None, {}, seconds, reason)

    def kill(self) -> None:
        """End the process and those it started, whatever they do."""
        atexit.unregister(self.kill)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)  # a group of its own: see _work
        self._process.kill()
        self._process.join()
        self._receiver.close()

    def _answer(self) -> ProxyResult | str | None:
        with contextlib.suppress(EOFError, OSError):  # the process ended without an answer
            if self._receiver.poll():
                return self._receiver.recv()
        return None

    def _last_words(self) -> str:
        code = self._process.exitcode
        with contextlib.suppress(ValueError):  # no signal
            return f'its process was ended by {signal.Signals(-code).name}'
        return f'its process ended with exit status {code} and no result'


def check_timeout(timeout: object) -> None:
    """Check the time limit of samples.

    Args:
        timeout: Seconds > 0, or None for no limit.

    Raises:
        ValueError: If it is something else.
    """
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if timeout is not None and not (is_number and timeout > 0):
        raise ValueError(f'executor: timeout must be seconds > 0 or None, got {timeout!r}')


def wait_for(samples: Iterable[SampleProcess]) -> None:
    """Wait until one of the samples may have ended."""
    samples = list(samples)
    deadlines = [sample.deadline for sample in samples if sample.deadline is not None]
    left = max(0, min(deadlines) - time.monotonic()) if deadlines else None
    wait([handle for sample in samples for handle in sample.handles], left)


def _work(task: ProxyTask, threads: int, sender: Connection) -> None:
    """Run one sample; the body of its process."""
    os.setsid()  # so that it and what it starts can be ended together
    threading.Thread(target=_end_with_parent, daemon=True).start()
    log = os.open(Path(task.folder) / LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    faulthandler.enable()
    # Each dataset that is built collects garbage: what was imported before the fork is none.
    gc.freeze()
    torch.set_num_threads(threads)
    try:
        answer = run_proxy(task)
    except Exception as error:  # reported as the sample's failure
        traceback.print_exc()
        answer = describe_failure(error)
    sender.send(answer)


def describe_failure(error: BaseException) -> str:
    """Return the last line of an error's traceback."""
    lines = ''.join(traceback.format_exception_only(error)).split('\n')
    return next(line for line in reversed(lines) if line.strip()).strip()[:_LONGEST_REASON]


def _end_with_parent() -> None:
    """Wait for the search to end, however it does: nobody is left to take the result."""
    multiprocessing.parent_process().join()
    os.killpg(0, signal.SIGKILL)


def _context(device: int | None) -> BaseContext:
    """Choose how processes start: quickly from one that has imported all, or afresh for CUDA.

    A driver that was looked up before a fork does not work after it.
    """
    can_fork = 'forkserver' in multiprocessing.get_all_start_methods()
    if device is not None or not can_fork or torch.cuda.is_available():
        return multiprocessing.get_context('spawn')
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(_PRELOADED)
    return context


def start_variables(device: int | None = None) -> dict[str, str]:
    """Say what new processes must know before they import anything."""
    root = str(Path(__file__).resolve().parents[3])
    paths = [root, *filter(None, [os.environ.get('PYTHONPATH')])]
    variables = {
        'PYTHONPATH': os.pathsep.join(paths),  # a checkout need not be installed
        'PYTHONWARNINGS': 'ignore:pkg_resources is deprecated:UserWarning',  # see exit_status_of
    }
    if device is not None:
        variables['CUDA_VISIBLE_DEVICES'] = str(device)
    return variables


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables while a process is started."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
