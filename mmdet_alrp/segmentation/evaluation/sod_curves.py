"""Precision-recall and F-against-threshold curves of saliency maps, as numbers and as pictures.

Several methods go into one figure::

    curves = load_curves('bce/curves.json', 'fmeasure/curves.json')
    save_curve_plots(curves, 'figures')
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mmdet_alrp.atomic_write import atomic_write
from mmdet_alrp.line_colours import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DASHES = ('-', '--', '-.', ':')
CURVES = ('F', 'E', 'precision', 'recall')
Curves = dict[str, list[float]]


def curves_of(mean_scores: Mapping[str, np.ndarray]) -> Curves:
    """Return the curves of a method as lists that JSON can hold.

    Args:
        mean_scores: Of :func:`~mmdet_alrp.segmentation.evaluation.average_scores`.

    Returns:
        ``threshold``, rising in [0, 1], and at each of them ``F``, ``E``, ``precision`` and
        ``recall``, all of the same length.
    """
    curves = {name: [float(value) for value in mean_scores[name]] for name in CURVES}
    return {'threshold': np.linspace(0, 1, len(curves['F'])).tolist(), **curves}


def save_curves(path: str | os.PathLike, methods: Mapping[str, Curves]) -> Path:
    """Write the curves of methods as JSON.

    Args:
        path: The file; its folder is made if it is missing.
        methods: Curves of :func:`curves_of` by the name of the method.

    Returns:
        The file written.
    """
    text = json.dumps(methods, indent=1, ensure_ascii=False) + '\n'
    return _write(Path(path), lambda file: file.write_text(text, encoding='utf-8'))


def load_curves(*paths: str | os.PathLike) -> dict[str, Curves]:
    """Read files of :func:`save_curves`.

    Args:
        *paths: The files.

    Returns:
        Curves by the name of the method, in the order of the files.

    Raises:
        ValueError: If a file holds something else, or two files name the same method.
    """
    methods: dict[str, Curves] = {}
    for path in paths:
        found = json.loads(Path(path).read_text(encoding='utf-8'))
        if not isinstance(found, dict) or not all(map(_are_curves, found.values())):
            raise ValueError(f'{path} is no file of saliency curves')
        twice = methods.keys() & found.keys()
        if twice:
            raise ValueError(f'{path}: there are curves of {", ".join(sorted(twice))} already')
        methods.update(found)
    return methods


def save_curve_plots(methods: Mapping[str, Curves], folder: str | os.PathLike) -> list[Path]:
    """Write ``pr_curve.png`` and ``f_threshold.png`` with one line a method.

    Args:
        methods: Curves of :func:`curves_of` by the name of the method.
        folder: Made if it is missing.

    Returns:
        The files written.
    """
    figures = {
        'pr_curve.png': precision_recall_figure(methods),
        'f_threshold.png': f_threshold_figure(methods),
    }
    return [
        _write(Path(folder) / name, lambda file, figure=figure: figure.savefig(file, format='png'))
        for name, figure in figures.items()
    ]


def precision_recall_figure(methods: Mapping[str, Curves]) -> Figure:
    """Draw precision against recall; thresholds at which nothing is found are left out.

    Args:
        methods: Curves of :func:`curves_of` by the name of the method.
    """
    figure, axes = _empty_figure('recall', 'precision')
    for style, (name, curves) in zip(_styles(), methods.items(), strict=False):
        recall, precision = np.array(curves['recall']), np.array(curves['precision'])
        axes.plot(recall[recall > 0], precision[recall > 0], label=name, **style)
    return _with_legend(figure, axes)


def f_threshold_figure(methods: Mapping[str, Curves]) -> Figure:
    """Draw F against the threshold; a dot marks the largest, the legend says it and the mean.

    Args:
        methods: Curves of :func:`curves_of` by the name of the method.
    """
    figure, axes = _empty_figure('threshold', 'F-measure')
    for style, (name, curves) in zip(_styles(), methods.items(), strict=False):
        values = np.array(curves['F'])
        best = int(values.argmax())
        label = f'{name}: max {values[best]:.3f}, mean {values.mean():.3f}'
        axes.plot(curves['threshold'], values, label=label, **style)
        axes.plot(curves['threshold'][best], values[best], marker='o', color=style['color'])
    return _with_legend(figure, axes)


def _styles() -> Iterator[dict[str, object]]:
    for index, colour in enumerate(cycle(COLOURS)):
        yield {'color': colour, 'linestyle': DASHES[index % len(DASHES)], 'linewidth': 1.8}


def _empty_figure(x: str, y: str) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 4.8), dpi=120, layout='constrained')
    axes = figure.add_subplot()
    axes.set(xlim=(0, 1.01), ylim=(0, 1.01), xlabel=x, ylabel=y)
    axes.grid(color='0.92')
    axes.set_axisbelow(True)
    return figure, axes


def _with_legend(figure: Figure, axes: Axes) -> Figure:
    if axes.lines:
        columns = 2 if len(axes.get_legend_handles_labels()[1]) > 3 else 1
        figure.legend(loc='outside lower center', ncols=columns, fontsize=8, frameon=False)
    return figure


def _are_curves(curves: object) -> bool:
    if not isinstance(curves, dict):
        return False
    lists = [curves.get(name) for name in ('threshold', *CURVES)]
    return all(isinstance(values, list) and len(values) == len(lists[0]) for values in lists)


def _write(path: Path, write: Callable[[Path], object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as draft:
        write(draft)
    return path
