"""Reports as aligned text."""

from __future__ import annotations

import math

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
    """One line a class: objects, AP figures, oLRP with its components, threshold, rho, calibration.

    Args:
        report: Result of an evaluation.
    """
    head = ('class', 'objects', 'AP', 'AP50', 'AP75')
    head += ('oLRP', 'Loc', 'FP', 'FN', 'threshold', 'rho')
    calibrations = report.calibration.classes if report.calibration else None
    head += ('LaECE_0', 'LaACE_0') if calibrations else ()
    rows = [head]
    for index, c in enumerate(report.classes):
        best = c.best
        figures = (c.ap, c.ap50, c.ap75, best.olrp, best.loc, best.fp, best.fn)
        errors = (calibrations[index].laece, calibrations[index].laace) if calibrations else ()
        numbers = [_number(value) for value in (*figures, best.threshold, c.rho, *errors)]
        rows.append((c.name, str(c.num_gt), *numbers))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for name, *cells in rows:
        aligned = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        lines.append('  '.join((name.ljust(widths[0]), *aligned)))
    return '\n'.join(lines)


def _number(value: float) -> str:
    return '-' if math.isnan(value) else f'{value:.4f}'
