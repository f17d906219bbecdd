"""The ablation as a table: mean and spread over the seeds of each row."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from ablation_rows import ROWS, TWIN
from ablation_runs import FIGURES

from mmdet_alrp.atomic_write import atomic_write

BETTER = {name: 'lower' if name in ('oLRP', 'Loc', 'FP', 'FN') else 'higher' for name in FIGURES}


def summary(outcomes: Sequence[dict], step_ratios: dict[str, float]) -> list[dict]:
    """Mean and spread of every row that has outcomes, in the order of the rows.

    Args:
        outcomes: Of all runs, as an ``AblationRun`` tells them.
        step_ratios: Time of a training step over the twin's, by row; may lack rows.

    Returns:
        For each row: how many seeds are finished, ``mean`` and ``spread`` by figure (the sample
        standard deviation over the seeds; None where there are fewer than two, or no figure) and
        the time of a step over that of the twin.
    """
    lines = []
    for row in (row for row in ROWS if any(run['row'] == row for run in outcomes)):
        runs = [r for r in outcomes if r['row'] == row and r['state'] == 'finished']
        line = {'row': row, 'label': ROWS[row].label, 'seeds': [run['seed'] for run in runs]}
        line |= {'mean': {}, 'spread': {}}
        for figure in FIGURES:
            values = [run['figures'][figure] for run in runs]
            values = [value for value in values if value is not None]
            line['mean'][figure] = statistics.fmean(values) if values else None
            line['spread'][figure] = statistics.stdev(values) if len(values) > 1 else None
        lines.append({**line, 'step_ratio': step_ratios.get(row)})
    return lines


def markdown(title: str, lines: Sequence[dict], outcomes: Sequence[dict], notes: str) -> str:
    """The whole page: title, table, what it says, and what is missing from it.

    Args:
        title: Heading.
        lines: What :func:`summary` returns.
        outcomes: Of all runs; those that failed or are still to come are listed.
        notes: A paragraph on how the figures were made.
    """
    head = ['row', 'seeds', *FIGURES, f'step / {ROWS[TWIN].label}']
    table = ['| ' + ' | '.join(head) + ' |', '| --- |' + ' ---: |' * (len(head) - 1)]
    for line in lines:
        cells = [line['label'], str(len(line['seeds']))]
        cells += [with_spread(line['mean'][name], line['spread'][name]) for name in FIGURES]
        ratio = line['step_ratio']
        table.append('| ' + ' | '.join([*cells, '-' if ratio is None else f'{ratio:.2f}']) + ' |')
    down = ', '.join(name for name, better in BETTER.items() if better == 'lower')
    parts = [f'# {title}', '\n'.join(table)]
    parts += [f'Mean ± sample standard deviation over the seeds. Lower is better for {down}.']
    parts += [notes, missing(outcomes)]
    return '\n\n'.join(part for part in parts if part) + '\n'


def with_spread(mean: float | None, spread: float | None) -> str:
    """A cell: mean and spread, the mean alone, or a dash."""
    if mean is None:
        return '-'
    return f'{mean:.3f}' if spread is None else f'{mean:.3f} ± {spread:.3f}'


def missing(outcomes: Sequence[dict]) -> str:
    """List of the runs that are not in the table, with the reason."""
    return '\n'.join(
        f'- {ROWS[run["row"]].label}, seed {run["seed"]}: {run["state"]}'
        + (f': {run["reason"]}' if 'reason' in run else '')
        for run in outcomes
        if run['state'] != 'finished'
    )


def write_text(path: Path, text: str) -> None:
    """Write a text; an interrupted run leaves no half file."""
    with atomic_write(path) as draft:
        draft.write_text(text, encoding='utf-8')
