"""The search itself: rounds of samples, each rewarded by its proxy training (Algorithm 1).

A search is decided by its settings, its seed and its rewards. So it is resumed by going through
the recorded rounds again with the recorded rewards; no generator or optimiser is stored.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from mmdet_alrp.command_line import UsageError

from .algorithms import Round, SearchAlgorithm
from .progress import Progress
from .records import RoundRecord, SampleRecord, SearchRecord, Winner

# What proposed again may differ by on another version of PyTorch
_REPLAY_TOLERANCE = 1e-6


class _Executor(Protocol):
    def run(self, tasks: Sequence[Any]) -> Iterator[Any]: ...


@dataclass(frozen=True)
class SearchParts:
    """Algorithm, executor and callbacks of a search.

    Args:
        algorithm: A fresh one; proposes samples and learns from their rewards.
        executor: Trains with samples; yields a ``ProxyResult`` of each as it ends.
        make_task: Task of a sample: called with round, place in it and sample.
        after_round: Called with the record after every round.
    """

    algorithm: SearchAlgorithm
    executor: _Executor
    make_task: Callable[[int, int, tuple[float, ...]], Any]
    after_round: Callable[[SearchRecord], None] = lambda record: None


def run_search(
    parts: SearchParts, record: SearchRecord, folder: str | os.PathLike, progress: Progress
) -> None:
    """Go through the rounds that are left; ``search.json`` is rewritten after every sample.

    A sample whose training failed is rewarded with 0.

    Args:
        parts: See there.
        record: Empty, or that of the search to go on with; changed in place.
        folder: Where the record lies.
        progress: Told of every sample and round.

    Raises:
        UsageError: If every sample of a round failed, or the record is of other samples than the
            algorithm proposes.
    """
    spent = record.seconds
    if record.rounds and record.rounds[-1].all_failed:
        # The cause was outside the search and is gone, or they fail again.
        last = record.rounds[-1]
        last.samples = [SampleRecord(entry.sample) for entry in last.samples]
    record.save(folder)
    for index in range(progress.rounds):
        entry = _propose(parts.algorithm, record, index)
        is_new = not entry.done
        for place, finished in _train(parts, index, entry):
            entry.samples[place] = finished
            record.seconds = spent + progress.elapsed
            record.save(folder)
            progress.sample(index, place, finished)
        if entry.all_failed:
            reason = entry.samples[0].failure
            raise UsageError(
                f'all {len(entry.samples)} samples of round {index + 1} failed, the first with: '
                f'{reason}; remove the cause, then go on with --resume'
            )
        if index + 1 < progress.rounds:
            parts.algorithm.update(entry.scores)
        if is_new or record.winner is None:
            progress.round(index, entry)
            record.winner = _winner(parts.algorithm, record.finished_rounds)
            record.save(folder)
            parts.after_round(record)


def _winner(algorithm: SearchAlgorithm, rounds: Sequence[RoundRecord]) -> Winner:
    done = [
        Round([record.sample for record in entry.samples], entry.scores, entry.mean)
        for entry in rounds
    ]
    sample, reward = algorithm.winner(done)
    of_round = next(
        number
        for number, entry in enumerate(done)
        if sample == entry.mean or (entry.mean is None and sample in entry.samples)
    )
    return Winner(sample, reward, of_round)


def _propose(algorithm: SearchAlgorithm, record: SearchRecord, index: int) -> RoundRecord:
    """Let the algorithm propose a round; return its record, which may be there already."""
    samples = [tuple(sample) for sample in algorithm.propose()]
    if index == len(record.rounds):
        mean = algorithm.mean
        mean = None if mean is None else tuple(mean)
        record.rounds.append(RoundRecord(mean, [SampleRecord(sample) for sample in samples]))
        return record.rounds[index]
    entry = record.rounds[index]
    recorded = [entry.sample for entry in entry.samples]
    if not _close(recorded, samples):
        raise UsageError(
            f'--resume: round {index + 1} of the record holds other samples than its settings and '
            'rewards lead to here (another version of PyTorch or of this package?): start again '
            'in another --work-dir'
        )
    return entry


def _close(recorded: Sequence[tuple], proposed: Sequence[tuple]) -> bool:
    if [len(sample) for sample in recorded] != [len(sample) for sample in proposed]:
        return False
    pairs = zip(sum(recorded, ()), sum(proposed, ()), strict=True)
    return all(abs(a - b) <= _REPLAY_TOLERANCE for a, b in pairs)


def _train(
    parts: SearchParts, index: int, entry: RoundRecord
) -> Iterator[tuple[int, SampleRecord]]:
    """Train with the samples of a round that are not done; yield place and record as they end."""
    left = [place for place, sample in enumerate(entry.samples) if not sample.done]
    tasks = [parts.make_task(index, place, entry.samples[place].sample) for place in left]
    for result in parts.executor.run(tasks) if tasks else ():
        yield (
            result.index,
            replace(
                entry.samples[result.index],
                done=True,
                reward=None if result.failure else result.reward,
                metrics=dict(result.metrics),
                seconds=result.seconds,
                failure=result.failure,
            ),
        )


def sample_folder(work_dir: str | os.PathLike, index: int, place: int) -> Path:
    """Folder of what a sample's training leaves.

    Args:
        work_dir: Work dir of the search.
        index: Round, counted from 0.
        place: Number of the sample in it, counted from 0.
    """
    return Path(work_dir) / 'samples' / f'round_{index + 1:02d}' / f'sample_{place + 1:02d}'
