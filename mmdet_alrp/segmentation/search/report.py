"""The report of a search as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence

from mmdet_alrp.segmentation.losses.surrogate_parameters import SurrogateParameters

from .progress import duration
from .records import SearchRecord
from .settings import parameter_file, target_name

_MANY = 50


def report_text(record: SearchRecord, found: Mapping[str, SurrogateParameters], folder: str) -> str:
    """Return the report: what was searched and found, round by round, and how to train with it.

    Args:
        record: The search; at least one round is finished.
        found: Parameters of the winner by metric.
        folder: Work dir, as the commands in the report are to name it.
    """
    sections = [
        f'# Search for {_target(record)} with {record.algorithm}',
        _summary(record),
        _use(record, folder),
        '## Rounds',
        _rounds(record),
        '## Curves found',
        'Inner control points (x, y) between (0, 0) and (1, 1).'
        if _fixed_ends(found)
        else 'Control points (x, y), ends included.',
        _curves(found),
        '![rewards by round](search.png)',
        '![curves found](curves.png)',
        '## Failures',
        _failures(record),
        '## Settings',
        _table(('setting', 'value'), _flat(record.settings)),
    ]
    return '\n\n'.join(sections) + '\n'


def group_table(groups: Mapping[str, Sequence[SearchRecord]]) -> str:
    """Return a table of groups of searches, each figure as mean ± deviation over the runs.

    Args:
        groups: Searches by name; of a group the rounds that all its runs have finished count.
    """
    rows = []
    for name, records in groups.items():
        length = min(len(record.finished_rounds) for record in records)
        runs = [record.finished_rounds[:length] for record in records]
        figures = (
            [run[0].mean_reward for run in runs],
            [run[-1].mean_reward for run in runs],
            [max(entry.mean_reward for entry in run) for run in runs],
            [max(entry.best_reward for entry in run) for run in runs],
        )
        cells = (
            f'{statistics.fmean(figure):.4f} ± {statistics.pstdev(figure):.4f}'
            for figure in figures
        )
        rows.append((name, len(runs), length, *cells))
    head = ('search', 'runs', 'rounds', 'mean of first', 'mean of last', 'best mean', 'best sample')
    return _table(head, rows)


def _target(record: SearchRecord) -> str:
    return target_name(record.settings['target_metric'])


def _summary(record: SearchRecord) -> str:
    samples = [entry for *_, entry in record.samples]
    failed = sum(entry.failed for entry in samples)
    rounds = record.settings['rounds']
    done = len(record.finished_rounds)
    state = 'finished' if done == rounds else f'stopped or running, {done} of {rounds} rounds done'
    busy = sum(entry.seconds for entry in samples)
    winner = record.winner
    kind = 'mean of the policy' if record.algorithm == 'PPO' else 'best sample'
    lines = [
        f'* State: {state}; {len(samples)} samples, {failed} failed.',
        f'* Winner: {kind}, of round {winner.round + 1}, {_target(record)} '
        f'{winner.reward:.4f}' + (' (mean of its samples).' if record.algorithm == 'PPO' else '.'),
        f'* Time: {duration(record.seconds)}; of all samples together {duration(busy)}, '
        f'{busy / len(samples):.1f} s each.',
    ]
    return '\n'.join(lines)


def _use(record: SearchRecord, folder: str) -> str:
    target = record.settings['target_metric']
    path = f'{folder.rstrip("/")}/{parameter_file(target)}'
    return (
        'Train with what was found, in any segmentation config:\n\n'
        '```python\n'
        f"loss_decode=dict(type='AutoSegLoss', target_metric={target!r}, theta={path!r})\n"
        '```'
    )


def _rounds(record: SearchRecord) -> str:
    rows = []
    for number, entry in enumerate(record.finished_rounds, 1):
        scores = entry.scores
        rows.append(
            (
                number,
                f'{entry.mean_reward:.4f}',
                f'{statistics.pstdev(scores):.4f}',
                f'{min(scores):.4f}',
                f'{entry.best_reward:.4f}',
                sum(sample.failed for sample in entry.samples),
            )
        )
    return _table(('round', 'mean', 'deviation', 'worst', 'best', 'failed'), rows)


def _fixed_ends(found: Mapping[str, SurrogateParameters]) -> bool:
    return all(parameters.truth_table for parameters in found.values())


def _curves(found: Mapping[str, SurrogateParameters]) -> str:
    inner = slice(1, -1) if _fixed_ends(found) else slice(None)
    rows = [
        (metric, number, ' '.join(f'({x:.4f}, {y:.4f})' for x, y in curve.points[inner]))
        for metric, parameters in found.items()
        for number, curve in enumerate(parameters.curves, 1)
    ]
    return _table(('metric', 'curve', 'control points'), rows)


def _failures(record: SearchRecord) -> str:
    rows = [
        (of_round + 1, place + 1, entry.failure)
        for of_round, place, entry in record.samples
        if entry.failed
    ]
    if not rows:
        return 'None.'
    text = 'They count as 0.\n\n' + _table(('round', 'sample', 'reason'), rows[:_MANY])
    return text if len(rows) <= _MANY else f'{text}\n\n... and {len(rows) - _MANY} more.'


def _flat(settings: Mapping, prefix: str = '') -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f'{prefix}{key}.')
        else:
            rows.append((f'`{prefix}{key}`', value))
    return rows


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ['---'] * len(head), *rows]
    cells = ([str(cell).replace('|', '\\|').replace('\n', ' ') for cell in row] for row in lines)
    return '\n'.join('| ' + ' | '.join(row) + ' |' for row in cells)
