"""The table that puts measured figures beside those of a stored run."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mmdet_alrp.command_line import UsageError
from mmdet_alrp.evaluation.json_files import write_json

# Figure, and whether more or less of it is better
FIGURES = {
    'AP': 'higher',
    'AP50': 'higher',
    'AP75': 'higher',
    'oLRP': 'lower',
    'oLRP_Loc': 'lower',
    'oLRP_FP': 'lower',
    'oLRP_FN': 'lower',
    'rho': 'higher',
}


@dataclass(frozen=True)
class RunFigures:
    """Figures of one run and what they come from; None where nothing is known yet.

    Args:
        config: Config of the run.
        command: What reproduces the figures.
        seed: Seed of the run.
        epochs: Length of the run.
        torch: Version of PyTorch.
        date: Day of the evaluation, ISO format.
        metrics: Figures by the names of ``FIGURES``, fractions in [0, 1] (rho in [-1, 1]).
    """

    config: str
    command: str
    seed: int | None
    epochs: int | None
    torch: str | None
    date: str | None
    metrics: dict[str, float | None]

    def source(self) -> str:
        """One line that says where the figures come from."""
        if all(value is None for value in self.metrics.values()):
            return f'{self.config}: not run yet; made by: {self.command}'
        return (
            f'{self.config}, {self.epochs} epochs, seed {self.seed}, torch {self.torch}, '
            f'{self.date}; made by: {self.command}'
        )


def read_reference(path: str | os.PathLike) -> RunFigures:
    """Read stored figures.

    Args:
        path: A file of :func:`write_reference`.

    Raises:
        UsageError: If the file is missing or has other keys than :class:`RunFigures`.
    """
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
        stored = RunFigures(**content)
        if set(stored.metrics) != set(FIGURES):
            raise ValueError(f'"metrics" must have the keys {", ".join(FIGURES)}')
        for value in stored.metrics.values():
            if value is not None and not isinstance(value, int | float):
                raise ValueError(f'{value!r} is no figure')
    except OSError as error:
        raise UsageError(f'{path}: cannot be read: {error.strerror}') from None
    except (ValueError, TypeError) as error:
        raise UsageError(f'{path}: no file of stored figures: {error}') from None
    return stored


def write_reference(path: str | os.PathLike, figures: RunFigures) -> None:
    """Store figures; the file appears whole or not at all."""
    write_json(path, asdict(figures))


def table_rows(columns: Sequence[tuple[str, RunFigures]]) -> list[list[str]]:
    """Cells of the table: a heading, then one row a figure; '-' where a figure is not known.

    With several columns the last cell is the difference of the first to the second.
    """
    rows = [['figure', 'better', *(name for name, _ in columns)]]
    if len(columns) > 1:
        rows[0].append('difference')
    for figure, better in FIGURES.items():
        values = [run.metrics.get(figure) for _, run in columns]
        row = [figure, better, *(_number(value) for value in values)]
        if len(columns) > 1:
            known = _is_known(values[0]) and _is_known(values[1])
            row.append(f'{values[0] - values[1]:+.4f}' if known else '-')
        rows.append(row)
    return rows


def plain_table(rows: list[list[str]]) -> str:
    """Rows as aligned text."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        words = [cell.ljust(width) for cell, width in zip(row[:2], widths[:2], strict=True)]
        numbers = [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        lines.append('  '.join(words + numbers))
    lines.insert(1, '-' * len(lines[0]))
    return '\n'.join(lines)


def markdown_table(rows: list[list[str]]) -> str:
    """Rows as a Markdown table."""
    lines = ['| ' + ' | '.join(row) + ' |' for row in rows]
    rule = ['---', '---', *['---:'] * (len(rows[0]) - 2)]
    lines.insert(1, '| ' + ' | '.join(rule) + ' |')
    return '\n'.join(lines)


def _is_known(value: float | None) -> bool:
    return value is not None and not math.isnan(value)


def _number(value: float | None) -> str:
    return f'{value:.4f}' if _is_known(value) else '-'
