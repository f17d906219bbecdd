"""Reliability diagrams: what scores promise beside what was found, and how often."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .calibration_errors import ReliabilityBins
from .lrp import LRPReport
from .lrp_plots import file_name_of, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLUE, ORANGE = '#0072B2', '#E69F00'  # of the Okabe-Ito palette, told apart in grey


def save_reliability_plots(report: LRPReport, folder: str | os.PathLike) -> list[Path]:
    """Write ``reliability.png`` of all classes together and one PNG a class with a detection.

    Args:
        report: Result of an evaluation with calibration.
        folder: Made if it is missing.

    Returns:
        The files written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    calibration = report.calibration
    title = 'all classes: ' + ', '.join(
        f'{name} {value:.3f}' for name, value in calibration.summary().items()
    )
    figure = reliability_figure(calibration.all_bins(), title)
    paths = [save_figure(figure, folder / 'reliability.png')]
    for c, errors in zip(report.classes, calibration.classes, strict=True):
        if errors.bins.counts.any():
            title = f'{c.name}: LaECE_0 {errors.laece:.3f}, LaACE_0 {errors.laace:.3f}'
            figure = reliability_figure(errors.bins, title)
            paths.append(save_figure(figure, folder / f'reliability_{file_name_of(c)}.png'))
    return paths


def reliability_figure(bins: ReliabilityBins, title: str) -> Figure:
    """Mean IoU over mean score of the bins, and below it the share of detections in each bin.

    Args:
        bins: Scores and IoUs in bins; may be empty.
        title: Line above the diagram.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.8, 5.4), dpi=120, layout='constrained')
    axes, weights = figure.subplots(2, sharex=True, height_ratios=(4, 1))
    num_bins = len(bins.counts)
    left = np.arange(num_bins) / num_bins
    filled = bins.counts > 0
    mean_scores = bins.score_sums[filled] / bins.counts[filled]
    mean_ious = bins.target_sums[filled] / bins.counts[filled]
    bar = {'width': 1 / num_bins, 'align': 'edge', 'edgecolor': 'white', 'linewidth': 0.5}
    axes.bar(left[filled], mean_ious, color=BLUE, label='mean IoU', **bar)
    axes.vlines(mean_scores, mean_ious, mean_scores, color=ORANGE, linewidth=2, label='error')
    axes.plot([0, 1], [0, 1], color='0.3', linestyle='--', linewidth=1, label='score = IoU')
    axes.set(xlim=(0, 1), ylim=(0, 1), ylabel='mean IoU')
    axes.set_title(title, fontsize=9)
    figure.legend(loc='outside lower center', ncols=3, fontsize=8, frameon=False)
    total = int(bins.counts.sum())
    weights.bar(left, bins.counts / max(total, 1), color='0.6', **bar)
    weights.set(xlabel='score', ylabel='share', ylim=(0, None))
    weights.set_title(f'weight of the bins: share of {total} detections', fontsize=8)
    for each in (axes, weights):
        each.grid(color='0.92')
        each.set_axisbelow(True)
        each.spines[['top', 'right']].set_visible(False)
    return figure
