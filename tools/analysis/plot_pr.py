"""Draw precision against recall of result files, each with its LRP-optimal point."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import _find_package  # noqa: F401 - first
import numpy as np

from analysis.judged_results import (
    JudgedResult,
    add_result_options,
    exit_status_of_drawing,
    judge_files,
)
from analysis.training_log import COLOURS, save_figure
from mmdet_alrp.command_line import OneLineParser, UsageError
from mmdet_alrp.evaluation.coco_files import read_ground_truth
from mmdet_alrp.evaluation.lrp_curve import LRPCurve, OptimalLRP

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOOL = 'plot_pr.py'
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X')
MANY_CLASSES = 6  # panels of a figure
MANY_NAMES = 12


def drawn_classes(result: JudgedResult, class_name: str | None) -> list[int]:
    """Choose what to draw: one class, or those with the most objects.

    Args:
        result: Any of the judged results; classes and objects are those of the ground truth.
        class_name: Name of a class; None takes the first ``MANY_CLASSES`` by number of objects.

    Returns:
        Indices of the classes, that with the most objects first.

    Raises:
        UsageError: If there is no such class, or nothing of it in the ground truth.
    """
    counts = {c.name: c.num_gt for c in result.report.classes}
    if class_name is None:
        order = sorted(range(len(counts)), key=lambda i: -result.report.classes[i].num_gt)
        known = [i for i in order if result.report.classes[i].num_gt]
        if not known:
            raise UsageError('the ground truth has no objects: there is no recall to draw')
        return known[:MANY_CLASSES]
    if class_name not in counts:
        names = [*list(counts)[:MANY_NAMES], *['...'] * (len(counts) > MANY_NAMES)]
        raise UsageError(f'--class: there is no class {class_name!r}; there are {", ".join(names)}')
    if not counts[class_name]:
        raise UsageError(f'--class: the ground truth has no object of the class {class_name!r}')
    return [list(counts).index(class_name)]


def interpolated(curve: LRPCurve) -> tuple[np.ndarray, np.ndarray]:
    """Steps of COCO's interpolated precision: at a recall, the best precision from there on.

    Returns:
        Recalls, the first of them 0, and precisions; empty without detections.
    """
    precision = np.maximum.accumulate(curve.precision[::-1])[::-1]
    if not len(precision):
        return precision, precision
    return np.append(0.0, curve.recall), np.append(precision[0], precision)


def pr_figure(results: dict[str, JudgedResult], class_name: str | None = None) -> Figure:
    """Draw the curves of results that were judged at the same IoU, a panel a class.

    Args:
        results: By the names for the legends.
        class_name: As in :func:`drawn_classes`.

    Raises:
        UsageError: As :func:`drawn_classes`.
    """
    from matplotlib.figure import Figure

    report = next(iter(results.values())).report
    chosen = drawn_classes(next(iter(results.values())), class_name)
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    width, height = (6.0, 5.2) if len(chosen) == 1 else (4.0, 3.7)
    height += 0.4 * len(results)  # of its legend
    size = (width * columns, height * rows + 0.3 + 0.2 * len(results))
    figure = Figure(figsize=size, dpi=110, layout='constrained')
    for number, index in enumerate(chosen):
        axes = figure.add_subplot(rows, columns, number + 1)
        found = report.classes[index]
        axes.set_title(f'{found.name} ({found.num_gt} objects)', fontsize=10)
        draw_panel(axes, results, index, small=len(chosen) > 1)
    known = sum(c.num_gt > 0 for c in report.classes)
    lines = [f'{name}: {mean_text(result)}' for name, result in results.items()]
    heading = f'IoU {report.tau:g}; over all {known} classes'
    figure.supxlabel('\n'.join([heading, *lines]), fontsize=9, color='0.25')
    return figure


def draw_panel(axes: Axes, results: dict[str, JudgedResult], index: int, small: bool) -> None:
    """Draw one class of all results: curves, LRP-optimal points, and how far these are from 1.

    Args:
        axes: Where to draw.
        results: By the names for the legend.
        index: Index of the class.
        small: Whether there is room for small letters only.
    """
    for number, (name, result) in enumerate(results.items()):
        found = result.report.classes[index]
        best = found.best
        style = {'color': COLOURS[number % len(COLOURS)]}
        axes.step(*interpolated(found.curve), linewidth=1.8, **style)
        recall, precision = 1 - best.fn, 1 - best.fp  # NaN without a true positive: not drawn
        axes.plot([recall, recall, 1], [1, precision, precision], ':', linewidth=1.0, **style)
        mark = {'marker': MARKERS[number % len(MARKERS)], 'markeredgecolor': 'white', **style}
        axes.plot(recall, precision, markersize=10, linestyle='none', zorder=3, **mark)
        label = f'{name}: AP {found.ap:.3f}, {point_text(best)}'
        axes.plot([], [], markersize=8, linewidth=1.8, label=label, **mark)
    axes.set(xlim=(0, 1.02), ylim=(0, 1.03), xlabel='recall', ylabel='precision')
    axes.grid(color='0.92')
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
    # Below the panel: inside it would hide some detector's curve.
    place = {'loc': 'upper left', 'bbox_to_anchor': (0, -0.17), 'borderaxespad': 0}
    axes.legend(fontsize=8 if small else 9, frameon=False, **place)


def point_text(best: OptimalLRP) -> str:
    """LRP-optimal point of a class in two lines."""
    if np.isnan(best.threshold):
        return f'oLRP {best.olrp:.3f}\nno true positive'
    parts = f'Loc {best.loc:.3f}, FP {best.fp:.3f}, FN {best.fn:.3f}'
    return f'oLRP {best.olrp:.3f} at score ≥ {best.threshold:.3g}\n{parts}'


def mean_text(result: JudgedResult) -> str:
    """AP and oLRP over all classes in one line."""
    figures = result.report.summary()
    parts = ', '.join(f'{part} {figures[f"oLRP_{part}"]:.3f}' for part in ('Loc', 'FP', 'FN'))
    return f'AP {figures["AP"]:.3f}, oLRP {figures["oLRP"]:.3f} ({parts})'


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line of the tool."""
    parser = OneLineParser(description=__doc__, prog=TOOL)
    add_result_options(parser)
    parser.add_argument(
        '--class',
        dest='class_name',
        metavar='NAME',
        help=f'draw this class only, not the {MANY_CLASSES} with the most objects',
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; return the exit status."""
    args = parse_args(argv)

    def draw() -> list[str]:
        coco_gt = read_ground_truth(args.ann, 'bbox')
        results = judge_files(coco_gt, args.results, args.iou)
        save_figure(pr_figure(results, args.class_name), args.out)
        return [f'{name}: {mean_text(result)}' for name, result in results.items()]

    return exit_status_of_drawing(TOOL, args.out, draw)


if __name__ == '__main__':
    sys.exit(main())
