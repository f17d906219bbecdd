"""Read what a training run has logged, and draw its curves; for the tools beside it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmdet_alrp.atomic_write import atomic_write
from mmdet_alrp.command_line import UsageError
from mmdet_alrp.line_colours import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MANY_POINTS = 80  # beyond this many a curve is drawn with its running mean
LOG_RANGE = 30.0  # losses that differ by more than this factor get a logarithmic axis


@dataclass(frozen=True)
class TrainingLog:
    """What a run has logged.

    Args:
        train: One entry a logged training step, in the order of the steps.
        val: One entry a validation, in the order of the run.
    """

    train: list[dict[str, float]]
    val: list[dict[str, float]]

    def train_series(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """Positions (see :meth:`axis`) and values of one figure of the training steps."""
        rows = [row for row in self.train if key in row]
        scale = self.steps_per_epoch() if self.by_epoch() else 1.0
        return _numbers([row['step'] / scale for row in rows]), _numbers([row[key] for row in rows])

    def by_epoch(self) -> bool:
        """Whether positions are epochs: a validation is numbered by them in such a run."""
        if not self.train or not all('epoch' in row for row in self.train):
            return False
        last_epoch = max(row['epoch'] for row in self.train)
        return all(row['step'] <= last_epoch for row in self.val)

    def axis(self) -> str:
        """Name of the common horizontal axis."""
        return 'epoch' if self.by_epoch() or not self.train else 'iteration'

    def steps_per_epoch(self) -> int:
        """Number of steps of an epoch, as far as the log tells: step i of epoch e is at most e n.

        The last steps of an epoch may not be logged; after a few epochs that no longer matters.
        """
        return math.ceil(max(row['step'] / row['epoch'] for row in self.train))


def _numbers(values: Iterable[float | None]) -> np.ndarray:
    """Array of figures; what was not finite, or was logged as null, is NaN."""
    array = np.array([np.nan if value is None else value for value in values], dtype=float)
    return np.where(np.isfinite(array), array, np.nan)


def read_log(work_dir: str | os.PathLike) -> TrainingLog:
    """Read all that a run has logged, over all its resumptions.

    Where a resumed run repeated a step or a validation, the later entry counts.

    Args:
        work_dir: Work dir of the run, one of its dated folders, or a ``scalars.json``.

    Raises:
        UsageError: If there is no log, or it has no entry that can be read.
    """
    root = Path(work_dir)
    patterns = ('*/vis_data/scalars.json', 'vis_data/scalars.json', 'scalars.json')
    files = [root] if root.is_file() else sorted(p for name in patterns for p in root.glob(name))
    if not files:
        raise UsageError(
            f'{root}: there is no */vis_data/scalars.json: is it the work dir of a run?'
        )
    train, val = {}, {}
    for file in files:
        for line in file.read_text(encoding='utf-8', errors='replace').splitlines():
            row = _entry(line)
            if row is not None:
                (train if 'loss' in row else val)[row['step']] = row
    if not train and not val:
        raise UsageError(f'{root}: the log has no entry yet')
    return TrainingLog(*([rows[step] for step in sorted(rows)] for rows in (train, val)))


def _entry(line: str) -> dict[str, float] | None:
    """One logged entry; None for the half line that a killed run leaves."""
    try:
        row = json.loads(line)
    except ValueError:
        return None
    return row if isinstance(row, dict) and isinstance(row.get('step'), int | float) else None


def draw_curves(axes: Axes, curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Draw curves in one panel; many points become a pale curve with its running mean.

    Args:
        axes: Panel to draw in.
        curves: Positions and values by the name for the legend.
    """
    for index, (name, (x, y)) in enumerate(curves.items()):
        colour = COLOURS[index % len(COLOURS)]
        noisy = len(y) > MANY_POINTS and len(np.unique(y)) > MANY_POINTS
        if noisy:
            axes.plot(x, y, color=colour, alpha=0.25, linewidth=0.8)
            y = running_mean(y, len(y) // 40)
        marker = 'o' if len(y) <= MANY_POINTS // 2 else None
        axes.plot(x, y, color=colour, marker=marker, markersize=3, linewidth=1.5, label=name)
    values = np.concatenate([y for _, y in curves.values()])
    positive = values[np.isfinite(values)]
    if positive.min() > 0 and positive.max() > LOG_RANGE * positive.min():
        axes.set_yscale('log')
    else:
        axes.set_ylim(0, 1.05 * max(float(positive.max()), 1e-12))
    axes.grid(color='0.92', which='both')
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
    if len(curves) > 1:
        axes.legend(fontsize=8, frameon=False)


def running_mean(values: np.ndarray, reach: int) -> np.ndarray:
    """Mean of the finite values at most ``reach`` places away, shape as ``values``."""
    finite = np.isfinite(values)
    window = np.ones(2 * reach + 1)
    sums = np.convolve(np.where(finite, values, 0.0), window)[reach : reach + len(values)]
    counts = np.convolve(finite.astype(float), window)[reach : reach + len(values)]
    return np.divide(sums, counts, out=np.full(len(values), np.nan), where=counts > 0)


def save_figure(figure: Figure, path: str | os.PathLike) -> Path:
    """Write a figure as PNG; there is no half of it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as draft:
        figure.savefig(draft, format='png')
    return path
