"""What a search has done so far, in a file that is rewritten after every sample."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mmdet_alrp.atomic_write import write_file
from mmdet_alrp.command_line import UsageError

RECORD_FILE = 'search.json'
FORMAT = 1
# Settings that change how fast, how long or where a search runs, but none of its samples
FREE_SETTINGS = ('config', 'rounds', 'executor')


@dataclass(frozen=True)
class SampleRecord:
    """One sample and what its proxy training came to.

    Args:
        sample: Numbers in [0, 1] as proposed.
        done: Whether it was trained; the rest means nothing before.
        reward: The target metric on the hold-out part; None where the training failed.
        metrics: Figures behind the reward, by name.
        seconds: How long it took.
        failure: Why it failed; empty where it did not.
    """

    sample: tuple[float, ...]
    done: bool = False
    reward: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    failure: str = ''

    @property
    def failed(self) -> bool:
        """Whether the training came to no reward."""
        return self.done and self.reward is None

    @property
    def score(self) -> float:
        """Reward as the algorithm gets it: 0, the worst a metric can be, for a failure."""
        return 0.0 if self.reward is None else self.reward


@dataclass
class RoundRecord:
    """The samples of one round.

    Args:
        mean: Mean of the policy they were drawn from; None without a policy.
        samples: In the order in which they were proposed.
    """

    mean: tuple[float, ...] | None
    samples: list[SampleRecord]

    @property
    def scores(self) -> list[float]:
        """Rewards of the samples that were trained, failures as 0."""
        return [sample.score for sample in self.samples if sample.done]

    @property
    def done(self) -> bool:
        """Whether all samples were trained."""
        return all(sample.done for sample in self.samples)

    @property
    def all_failed(self) -> bool:
        """Whether not one sample came to a reward."""
        return all(sample.failed for sample in self.samples)

    @property
    def mean_reward(self) -> float:
        """Mean of the samples trained so far."""
        return math.fsum(self.scores) / len(self.scores)

    @property
    def best_reward(self) -> float:
        """Largest of the samples trained so far."""
        return max(self.scores)


@dataclass(frozen=True)
class Winner:
    """What a search has found.

    Args:
        sample: Its numbers; for PPO the mean of a round.
        reward: What it was chosen by: of a mean, the mean of its round.
        round: Where it is from, counted from 0.
    """

    sample: tuple[float, ...]
    reward: float
    round: int


@dataclass
class SearchRecord:
    """A whole search.

    Args:
        settings: Everything that decides about its samples, and ``FREE_SETTINGS``; JSON values.
        rounds: Rounds so far; of the last one maybe only some samples are trained.
        winner: What is found so far; None before the first round is finished.
        seconds: Time spent so far, over all resumptions.
    """

    settings: dict[str, Any]
    rounds: list[RoundRecord] = field(default_factory=list)
    winner: Winner | None = None
    seconds: float = 0.0

    @property
    def finished_rounds(self) -> list[RoundRecord]:
        """Rounds of which all samples were trained, and not all in vain."""
        return [entry for entry in self.rounds if entry.done and not entry.all_failed]

    @property
    def samples(self) -> list[tuple[int, int, SampleRecord]]:
        """Round, place in it, and record of every sample that was trained."""
        rounds = enumerate(self.rounds)
        every = ((r, i, sample) for r, entry in rounds for i, sample in enumerate(entry.samples))
        return [place for place in every if place[2].done]

    @property
    def algorithm(self) -> str:
        """Name of the algorithm."""
        return self.settings['algorithm']['type']

    def save(self, folder: str | os.PathLike) -> Path:
        """Write ``search.json``; a process killed meanwhile leaves the file that was there.

        Args:
            folder: Work dir of the search, made if need be.

        Returns:
            The file.
        """
        path = Path(folder) / RECORD_FILE
        text = json.dumps({'format': FORMAT, **asdict(self)}, indent=1, allow_nan=False)
        write_file(path, f'{text}\n')
        return path


def read_record(folder: str | os.PathLike) -> SearchRecord:
    """Read the record of a search.

    Args:
        folder: Work dir of the search, or its ``search.json``.

    Raises:
        UsageError: If there is none, or the file holds something else.
    """
    path = Path(folder)
    path = path if path.is_file() else path / RECORD_FILE
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        if content.pop('format') != FORMAT:
            raise ValueError('written by another version')
        rounds = [_round(entry) for entry in content.pop('rounds')]
        winner = content.pop('winner')
        if winner is not None:
            winner = Winner(**{**winner, 'sample': tuple(winner['sample'])})
        record = SearchRecord(rounds=rounds, winner=winner, **content)
        if not isinstance(record.algorithm, str):
            raise ValueError('no name of an algorithm')
    except FileNotFoundError:
        raise UsageError(f'{folder} holds no search: there is no {path}') from None
    except OSError as error:
        raise UsageError(f'{path} cannot be read: {error.strerror}') from None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(f'{path} is no record of a search: {_line(error)}') from None
    return record


def _round(entry: dict) -> RoundRecord:
    mean = None if entry['mean'] is None else tuple(entry['mean'])
    samples = [
        SampleRecord(**{**sample, 'sample': tuple(sample['sample'])}) for sample in entry['samples']
    ]
    return RoundRecord(mean, samples)


def _line(error: Exception) -> str:
    return ' '.join(f'{type(error).__name__}: {error}'.split())[:160]


def check_same_settings(old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Check that a search may go on with these settings.

    Args:
        old: Settings of the record, or anything nested of a config.
        new: The same as it is wanted now.

    Raises:
        UsageError: Names the first setting that differs, other than ``FREE_SETTINGS``.
    """
    before, now = (
        _flat({name: value for name, value in settings.items() if name not in FREE_SETTINGS})
        for settings in (old, new)
    )
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            raise UsageError(
                f'--resume: the search was started with {name}={_shown(before, name)}, now it is '
                f'{_shown(now, name)}: resume it with the same settings, or use another --work-dir'
            )


def _flat(value: Any, name: str = '') -> dict[str, Any]:
    """Leaves of nested dicts and lists by their dotted names."""
    if isinstance(value, Mapping):
        children = [(str(key), child) for key, child in value.items()]
    elif isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        children = [(str(index), child) for index, child in enumerate(value)]
    else:
        return {name: list(value) if isinstance(value, tuple) else value}
    flat: dict[str, Any] = {}
    for key, child in children:
        flat.update(_flat(child, f'{name}.{key}' if name else key))
    return flat


def _shown(values: Mapping[str, Any], name: str) -> str:
    return repr(values[name])[:80] if name in values else 'not set'
