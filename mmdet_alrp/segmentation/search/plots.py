"""Pictures of searches: rewards by round, and the curves that were found."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from mmdet_alrp.atomic_write import write_file
from mmdet_alrp.line_colours import COLOURS
from mmdet_alrp.segmentation.losses.published import PUBLISHED
from mmdet_alrp.segmentation.losses.surrogate_curves import Curve
from mmdet_alrp.segmentation.losses.surrogate_parameters import SurrogateParameters

from .records import SearchRecord
from .settings import target_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X')
_CURVE_NAMES = {
    1: ('AND',),
    2: ('AND', 'OR'),
    4: ('AND', 'AND, min-pooled', 'OR', 'OR, min-pooled'),
}


def reward_figure(searches: Mapping[str, SearchRecord]) -> Figure:
    """Draw the rewards of searches by round.

    A line is the mean of a round, its band the standard deviation of the round's samples, dots are
    samples, and the dashed line is the best sample so far.

    Args:
        searches: By the names for the legend; only rounds that are finished are drawn.
    """
    figure, (axes,) = _panels(1)
    for index, (name, record) in enumerate(searches.items()):
        rounds = record.finished_rounds
        if not rounds:
            continue
        style = _style(index)
        x = np.arange(1, len(rounds) + 1)
        mean = np.array([entry.mean_reward for entry in rounds])
        spread = np.array([np.std(entry.scores) for entry in rounds])
        best = list(accumulate((entry.best_reward for entry in rounds), max))
        axes.fill_between(
            x, mean - spread, mean + spread, color=style['color'], alpha=0.15, linewidth=0
        )
        for place, entry in zip(x, rounds, strict=True):
            axes.plot([place] * len(entry.scores), entry.scores, '.', color=style['color'], ms=3)
        axes.plot(x, mean, label=f'{name}: mean of the round', **style)
        axes.plot(x, best, '--', color=style['color'], lw=1.2, label=f'{name}: best so far')
    _label(axes, searches.values())
    return _with_legend(figure, axes)


def group_figure(groups: Mapping[str, Sequence[SearchRecord]]) -> Figure:
    """Draw groups of searches, such as the seeds of an algorithm, as mean and spread of the runs.

    The left panel shows the mean reward of a round, the right one the best sample so far. A band is
    the standard deviation over the runs (of n, not n - 1); a single run has none. The last round
    is the last that all runs of a group have finished.

    Args:
        groups: Searches by the names for the legend.
    """
    figure, panels = _panels(2)
    titles = ('mean reward of the round', 'best sample so far')
    for index, (name, records) in enumerate(groups.items()):
        length = min(len(record.finished_rounds) for record in records)
        rounds = [record.finished_rounds[:length] for record in records]
        means = [[entry.mean_reward for entry in run] for run in rounds]
        best = [list(accumulate((entry.best_reward for entry in run), max)) for run in rounds]
        label = f'{name} (1 run)' if len(records) == 1 else f'{name} ({len(records)} runs)'
        for axes, values in zip(panels, (np.array(means), np.array(best)), strict=True):
            x, style = np.arange(1, length + 1), _style(index)
            mean, spread = values.mean(0), values.std(0)
            axes.fill_between(
                x, mean - spread, mean + spread, color=style['color'], alpha=0.15, linewidth=0
            )
            axes.plot(x, mean, label=label, **style)
    for axes, title in zip(panels, titles, strict=True):
        _label(axes, [record for records in groups.values() for record in records])
        axes.set_title(title, fontsize=10)
    return _with_legend(figure, panels[0])


def curves_figure(found: Mapping[str, SurrogateParameters]) -> Figure:
    """Draw the curves found for each metric beside the diagonal and those published for VOC.

    Args:
        found: Parameters by metric.
    """
    figure, panels = _panels(len(found))
    for axes, (metric, parameters) in zip(panels, found.items(), strict=True):
        axes.plot([0, 1], [0, 1], color='0.6', lw=1, label='diagonal: not searched')
        published = PUBLISHED[f'voc_{metric.lower()}'].curves
        names = _CURVE_NAMES[parameters.num_curves]
        for index, (name, curve) in enumerate(zip(names, parameters.curves, strict=True)):
            colour = COLOURS[index]
            x = np.linspace(0, 1, 401)
            axes.plot(x, _values(curve, x), color=colour, lw=1.8, label=f'{name}: found')
            dashes = {'color': colour, 'lw': 1.2, 'ls': '--', 'alpha': 0.7}
            axes.plot(x, _values(published[index], x), label=f'{name}: published, VOC', **dashes)
            ends = [
                curve.points[0],
                *curve.points[curve.points_per_segment :: curve.points_per_segment],
            ]
            axes.plot(*zip(*ends, strict=True), 'o', color=colour, ms=3)
        axes.set(xlim=(0, 1), ylim=(0, 1.01), xlabel='probability', ylabel='g(probability)')
        axes.set_title(metric, fontsize=10)
        axes.legend(
            loc='upper center', bbox_to_anchor=(0.5, -0.12), ncols=2, fontsize=8, frameon=False
        )
    return figure


def save_png(figure: Figure, path: str | os.PathLike) -> Path:
    """Write a figure as PNG; the file is there whole or as it was before.

    Args:
        figure: What to write.
        path: The file; its folder is made if need be.

    Returns:
        The file.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png')
    write_file(path, buffer.getvalue())
    return Path(path)


def _values(curve: Curve, x: np.ndarray) -> np.ndarray:
    return curve(torch.from_numpy(x)).numpy()


def _style(index: int) -> dict[str, object]:
    colour, marker = COLOURS[index % len(COLOURS)], MARKERS[index % len(MARKERS)]
    return {'color': colour, 'marker': marker, 'markersize': 4, 'linewidth': 1.8}


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.6 * count, 4.6), dpi=120, layout='constrained')
    panels = [figure.add_subplot(1, count, index + 1) for index in range(count)]
    for axes in panels:
        axes.grid(color='0.92')
        axes.set_axisbelow(True)
        axes.spines[['top', 'right']].set_visible(False)
    return figure, panels


def _label(axes: Axes, records: Sequence[SearchRecord]) -> None:
    targets = dict.fromkeys(target_name(record.settings['target_metric']) for record in records)
    axes.set(xlabel='round', ylabel=f'{" or ".join(targets)} on the hold-out part')
    axes.xaxis.get_major_locator().set_params(integer=True)


def _with_legend(figure: Figure, axes: Axes) -> Figure:
    names = axes.get_legend_handles_labels()[1]
    if names:
        columns = 2 if len(names) > 3 else 1
        handles = axes.get_legend_handles_labels()[0]
        figure.legend(
            handles, names, loc='outside lower center', ncols=columns, fontsize=8, frameon=False
        )
    return figure
