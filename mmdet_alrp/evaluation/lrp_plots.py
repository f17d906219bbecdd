"""Plots of an evaluation; matplotlib is imported only when one is drawn."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmdet_alrp.atomic_write import atomic_write

from .lrp import ClassReport, LRPReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MANY_CLASSES = 20  # beyond this many the chart's rows become narrower
# Okabe-Ito palette: told apart by colour-blind readers and in grey
COLOURS = {'Loc': '#0072B2', 'FP': '#E69F00', 'FN': '#009E73'}
LABELS = {
    'Loc': 'Loc: mean of 1 - IoU of true positives',
    'FP': 'FP: 1 - precision',
    'FN': 'FN: 1 - recall',
}


def save_plots(report: LRPReport, folder: str | os.PathLike) -> list[Path]:
    """Write one precision-recall PNG a class with ground truth and ``components.png``.

    Args:
        report: Result of an evaluation.
        folder: Made if it is missing.

    Returns:
        The files written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    figures = {'components.png': components_figure(report)}
    paths = [save_figure(figure, folder / name) for name, figure in figures.items()]
    for c in report.classes:
        if c.curve is not None:
            figure = precision_recall_figure(c, report.tau)
            paths.append(save_figure(figure, folder / f'pr_{file_name_of(c)}.png'))
    return paths


def precision_recall_figure(c: ClassReport, tau: float) -> Figure:
    """Precision-recall curve of one class with its LRP-optimal point.

    Args:
        c: Report of the class, which must have ground truth.
        tau: IoU at which a detection counts as a true positive.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 4.6), dpi=120, layout='constrained')
    axes = figure.add_subplot()
    curve, best = c.curve, c.best
    if len(curve.thresholds):
        recall = np.append(0.0, curve.recall)
        precision = np.append(curve.precision[0], curve.precision)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        axes.plot(recall, precision, color='0.55', linewidth=1.0, label='raw')
        axes.step(recall, envelope, color='#0072B2', linewidth=1.8, label='interpolated')
    if not np.isnan(best.threshold):
        axes.plot(
            1.0 - best.fn,
            1.0 - best.fp,
            marker='o',
            markersize=9,
            markerfacecolor='#D55E00',
            markeredgecolor='white',
            linestyle='none',
            label=f'LRP-optimal: score ≥ {best.threshold:.3g}',
            zorder=3,
        )
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel='recall', ylabel='precision')
    title = f'{c.name} at IoU {tau:g} ({c.num_gt} objects)'
    axes.set_title(f'{title}\noLRP {best.olrp:.3f}, COCO AP {c.ap:.3f}', fontsize=10)
    axes.grid(color='0.92')
    axes.set_axisbelow(True)
    if axes.lines:
        figure.legend(loc='outside lower center', ncols=3, fontsize=8, frameon=False)
    else:
        axes.text(0.5, 0.5, 'no detections', ha='center', va='center', color='0.4')
    return figure


def components_figure(report: LRPReport) -> Figure:
    """Bars of the three components: their mean on top, then the classes from best to worst oLRP.

    Args:
        report: Result of an evaluation; classes without ground truth are left out.
    """
    from matplotlib.figure import Figure

    figures = report.lrp()
    rows = [('mean', figures['oLRP'], *(figures[f'oLRP_{part}'] for part in COLOURS))]
    known = sorted((c for c in report.classes if c.num_gt), key=lambda c: c.best.olrp)
    rows += [(c.name, c.best.olrp, c.best.loc, c.best.fp, c.best.fn) for c in known]
    inches = 0.55 if len(rows) <= MANY_CLASSES else 0.36
    figure = Figure(figsize=(7.0, 1.5 + inches * len(rows)), dpi=120, layout='constrained')
    axes = figure.add_subplot()
    height = 0.26
    # a wider gap below the mean
    centres = np.arange(len(rows)) + np.where(np.arange(len(rows)) > 0, 0.4, 0.0)
    parts = np.array([row[2:] for row in rows])
    right = max(0.1, np.nanmax(parts, initial=0.0))
    for index, (part, colour) in enumerate(COLOURS.items()):
        positions = centres + (index - 1) * height
        lengths = np.nan_to_num(parts[:, index])
        axes.barh(positions, lengths, height, color=colour, label=LABELS[part])
        for value, length, position in zip(parts[:, index], lengths, positions, strict=True):
            text = 'undefined' if np.isnan(value) else f'{value:.3f}'
            x = length + 0.008 * right
            axes.text(x, position, text, va='center', fontsize=6, color='0.25')
    separator = '\n' if len(rows) <= MANY_CLASSES else ', '
    labels = [f'{name}{separator}oLRP {olrp:.3f}' for name, olrp, *_ in rows]
    axes.set_yticks(centres, labels, fontsize=8)
    axes.get_yticklabels()[0].set_fontweight('bold')
    axes.set(xlim=(0, 1.08 * right), ylim=(centres[-1] + 0.6, -0.6))
    axes.set_xlabel('error (lower is better)')
    axes.set_title(f'Components of oLRP at IoU {report.tau:g}', fontsize=10)
    axes.grid(axis='x', color='0.92')
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
    figure.legend(loc='outside lower center', ncols=3, fontsize=8, frameon=False)
    return figure


def file_name_of(c: ClassReport) -> str:
    """Category id and name of a class as a part of a file's name."""
    slug = re.sub(r'[^0-9A-Za-z]+', '_', c.name).strip('_') or 'class'
    return f'{c.cat_id:03d}_{slug}'


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG; there is no half of it."""
    with atomic_write(path) as draft:
        figure.savefig(draft, format='png')
    return path
