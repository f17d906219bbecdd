"""Draw how training was balanced: both losses, self-balance ratio, positive / negative gradient."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import _find_package  # noqa: F401 - first
import numpy as np

from analysis.training_log import TrainingLog, draw_curves, read_log, save_figure
from mmdet_alrp.command_line import OneLineParser, UsageError, exit_status

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Heading of each panel and the logged names that belong to it, the best first: a loss without
# loc_error has no localisation part of its own, and its box loss is shown instead.
GRADIENTS = 'gradient on positives / on negatives'
PANELS = {
    'classification loss (L_cls)': (r'loss_(?:rpn_)?cls',),
    'localisation loss (L_loc, else loss_bbox)': (r'loc_error', r'loss_(?:rpn_)?bbox'),
    'self-balance ratio': (r'self_balance_ratio',),
    GRADIENTS: (r'grad_ratio',),
}
# What the parts of a detector are called in names that the log has from their modules
HEADS = ((r'rpn_head', 'rpn'), (r'roi_head\.bbox_head\.(\d+)', r's\1'), (r'.*bbox_head', ''))
Curves = dict[str, tuple[np.ndarray, np.ndarray]]


def run_names(paths: Sequence[Path]) -> list[str]:
    """Name each run after its work dir; as much of the path as tells them apart.

    Raises:
        UsageError: If two are the same.
    """
    folders = []
    for path in (path.resolve() for path in paths):
        below = 3 if path.name == 'scalars.json' and path.parent.name == 'vis_data' else 0
        folders.append(path.parents[below - 1] if below else path)
    for length in range(1, max(len(folder.parts) for folder in folders) + 1):
        names = ['/'.join(folder.parts[-length:]) for folder in folders]
        if len(set(names)) == len(names):
            return names
    raise UsageError('the same run is named twice')


def panel_curves(log: TrainingLog, patterns: Sequence[str]) -> Curves:
    """Curves of a run that belong into one panel, by head; '' if its names tell no head."""
    keys = sorted({key for row in log.train for key in row})
    for pattern in patterns:
        curves = {}
        for key in keys:
            match = re.fullmatch(rf'(?:(?P<head>.*?)[._])?{pattern}', key)
            if match is None:
                continue
            head = match['head'] or ('rpn' if 'rpn' in key else '')
            for module, name in HEADS:
                head = re.sub(rf'^{module}$', name, head)
            x, y = log.train_series(key)
            if np.isfinite(y).any():
                curves[head] = x, y
        if curves:
            return curves
    return {}


def collect(logs: dict[str, TrainingLog]) -> dict[str, Curves]:
    """Curves of all runs by panel; a panel for which no run has logged anything is left out.

    Raises:
        UsageError: If there is nothing to draw, or runs count in different units.
    """
    if len({log.axis() for log in logs.values()}) > 1:
        raise UsageError('some of the runs count epochs, others iterations: draw them apart')
    panels = {}
    for heading, patterns in PANELS.items():
        found = {
            f'{name}: {head}' if head else name: curve
            for name, log in logs.items()
            for head, curve in panel_curves(log, patterns).items()
        }
        if found:
            panels[heading] = found
    if not panels:
        raise UsageError(f'{", ".join(logs)}: the log has neither losses nor balance figures')
    return panels


def balance_figure(logs: dict[str, TrainingLog]) -> Figure:
    """Draw the panels, all runs in each."""
    from matplotlib.figure import Figure

    panels = collect(logs)
    names = dict.fromkeys(name for curves in panels.values() for name in curves)
    absent = np.array([np.nan]), np.array([np.nan])
    figure = Figure(figsize=(4.7 * len(panels), 3.8), dpi=110, layout='constrained')
    for index, (heading, curves) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), index + 1)
        # a run has its colour in every panel; a legend leaves out names with a bar before them
        draw_curves(axes, {n if n in curves else f'_{n}': curves.get(n, absent) for n in names})
        if heading == GRADIENTS:
            axes.axhline(1.0, color='0.5', linestyle='--', linewidth=0.8, zorder=0)
        axes.set_title(heading, fontsize=10)
        axes.set_xlabel(next(iter(logs.values())).axis())
        axes.legend(fontsize=8, frameon=False)
    return figure


def gradient_table(panels: dict[str, Curves]) -> str:
    """One line a curve of the last panel: how far its gradient ratio strays from 1."""
    lines = []
    for name, (_, values) in panels.get(GRADIENTS, {}).items():
        low, middle, high = np.nanpercentile(values, (5, 50, 95))
        lines.append(f'{name}: {GRADIENTS}: {middle:.4f} (90 % within {low:.4f} to {high:.4f})')
    return '\n'.join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; return the exit status."""
    parser = OneLineParser(description=__doc__, prog='balance.py')
    parser.add_argument(
        'runs',
        nargs='+',
        type=Path,
        metavar='WORK_DIR_OR_LOG',
        help='work dir of a run, or its scalars.json; several runs come into one figure',
    )
    parser.add_argument(
        '--out', type=Path, required=True, metavar='FOLDER', help='where balance.png is written'
    )
    args = parser.parse_args(argv)
    return exit_status('balance.py', partial(run, args.runs, args.out / 'balance.png'))


def run(runs: Sequence[Path], out: Path) -> None:
    """Draw the runs, and print how their gradients are balanced."""
    names = run_names(runs)
    logs = {name: read_log(path) for name, path in zip(names, runs, strict=True)}
    figure = balance_figure(logs)
    table = gradient_table(collect(logs))
    print(*filter(None, [table]), save_figure(figure, out), sep='\n')


if __name__ == '__main__':
    sys.exit(main())
