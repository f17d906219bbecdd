"""What a running search says: a line a sample with the time that is left, a line a round."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from .records import RoundRecord, SampleRecord


class Progress:
    """Counts samples and says when the last one will be done.

    The estimate is the time a sample took so far in this run, waiting for the others of its round
    included, times the samples that are left: it needs to know nothing about workers.

    Args:
        total: Samples of the whole search.
        done: Samples that were trained before this run.
        rounds: Rounds of the whole search.
        name: The target metric.
        say: Takes a line.
        clock: Seconds from any start.
    """

    def __init__(
        self,
        total: int,
        done: int,
        rounds: int,
        name: str,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.total = total
        self.done = self.done_before = done
        self.rounds = rounds
        self.name = name
        self.say = say
        self.clock = clock
        self.start = clock()

    @property
    def elapsed(self) -> float:
        """Seconds since this run began."""
        return self.clock() - self.start

    @property
    def remaining(self) -> float:
        """Estimated seconds to the end of the search; 0 before the first sample of this run."""
        count = self.done - self.done_before
        return self.elapsed / count * (self.total - self.done) if count else 0.0

    def sample(self, round_index: int, index: int, entry: SampleRecord) -> None:
        """Say what came of a sample."""
        self.done += 1
        outcome = (
            f'FAILED, counts as 0: {entry.failure}'
            if entry.failed
            else f'{self.name} {entry.score:.4f}'
        )
        self.say(
            f'round {round_index + 1}/{self.rounds}  sample {index + 1}  {outcome}  '
            f'{entry.seconds:.1f} s  [{self.done}/{self.total} done, {duration(self.remaining)} '
            'left]'
        )

    def round(self, round_index: int, entry: RoundRecord) -> None:
        """Say what a round came to."""
        failures = sum(sample.failed for sample in entry.samples)
        note = f', {failures} failed' if failures else ''
        self.say(
            f'round {round_index + 1}/{self.rounds}  mean {entry.mean_reward:.4f}, best '
            f'{entry.best_reward:.4f} of {len(entry.samples)} samples{note}'
        )


def duration(seconds: float) -> str:
    """Return a time as h:mm:ss."""
    return str(timedelta(seconds=round(seconds)))


def printing(log_file: Path) -> Callable[[str], None]:
    """Return a function that prints a line at once and adds it with the time to a file."""

    def say(line: str) -> None:
        print(line, flush=True)  # noqa: T201
        with log_file.open('a', encoding='utf-8') as file:
            file.write(f'{time.strftime("%Y-%m-%d %H:%M:%S")}  {line}\n')

    return say
