"""Reports as aligned text and as JSON files."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

from mmdet_alrp.drafts import draft_of

from .lrp import LRPReport


def summary_text(report: LRPReport) -> str:
    """One line a figure; a dash where a figure is undefined.

    Args:
        report: Result of an evaluation.
    """
    summary = report.summary()
    width = max(map(len, summary))
    return '\n'.join(f'{name:<{width}}  {_number(value)}' for name, value in summary.items())


def class_table(report: LRPReport) -> str:
    """One line a class: objects, AP figures, oLRP with its components, threshold and rho.

    Args:
        report: Result of an evaluation.
    """
    head = ('class', 'objects', 'AP', 'AP50', 'AP75')
    head += ('oLRP', 'Loc', 'FP', 'FN', 'threshold', 'rho')
    rows = [head]
    for c in report.classes:
        best = c.best
        figures = (c.ap, c.ap50, c.ap75, best.olrp, best.loc, best.fp, best.fn)
        numbers = [_number(value) for value in (*figures, best.threshold, c.rho)]
        rows.append((c.name, str(c.num_gt), *numbers))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *cells in rows:
        aligned = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        lines.append('  '.join((name.ljust(widths[0]), *aligned)))
    return '\n'.join(lines)


def write_json(path: str | os.PathLike, content: dict) -> None:
    """Write valid JSON (NaN becomes null) to a temporary name beside ``path``, then rename it.

    Args:
        path: The file; its folder is made if need be.
        content: What to write; keys are strings.

    Raises:
        OSError: If the file cannot be written; it is then as before.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_without_nan(content), indent=2, ensure_ascii=False, allow_nan=False)
    with draft_of(path) as draft:
        draft.write_text(text + '\n', encoding='utf-8')


def _number(value: float) -> str:
    return '-' if math.isnan(value) else f'{value:.4f}'


def _without_nan(content: object) -> object:
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and math.isnan(content) else content
