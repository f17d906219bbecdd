"""The files of a search beside its record: what it found, pictures, report."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from mmdet_alrp.atomic_write import write_file
from mmdet_alrp.segmentation.losses.surrogate_files import write_parameters
from mmdet_alrp.segmentation.losses.surrogate_parameters import SurrogateParameters

from .plots import curves_figure, reward_figure, save_png
from .records import SearchRecord
from .report import report_text
from .settings import parameter_file


def write_found(
    record: SearchRecord, found: Mapping[str, SurrogateParameters], folder: str | os.PathLike
) -> Path:
    """Write the file that ``AutoSegLoss(theta=...)`` takes, named after the target's metrics.

    Args:
        record: The search; at least one round is finished.
        found: Parameters of the winner by metric.
        folder: Work dir of the search.

    Returns:
        The file.
    """
    path = Path(folder) / parameter_file(record.settings['target_metric'])
    info = {
        'target_metric': record.settings['target_metric'],
        'config': record.settings['config'],
        'algorithm': record.algorithm,
        'seed': record.settings['seed'],
        'round': record.winner.round + 1,
        'reward': record.winner.reward,
        'samples': len(record.samples),
    }
    write_parameters(path, found, info)
    return path


def write_pictures(
    record: SearchRecord,
    found: Mapping[str, SurrogateParameters],
    folder: str | os.PathLike,
    others: Mapping[str, SearchRecord],
) -> None:
    """Write ``search.png``, ``curves.png`` and ``report.md``.

    Args:
        record: The search; at least one round is finished.
        found: Parameters of the winner by metric.
        folder: Work dir of the search.
        others: Searches to draw beside it, by the names for the legend.
    """
    folder = Path(folder)
    name = folder.resolve().name
    searches = {name: record, **{key: value for key, value in others.items() if key != name}}
    save_png(reward_figure(searches), folder / 'search.png')
    save_png(curves_figure(found), folder / 'curves.png')
    write_file(folder / 'report.md', report_text(record, found, str(folder)))
