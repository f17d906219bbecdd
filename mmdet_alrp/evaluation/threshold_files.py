"""Score thresholds by class: the names that reports give classes, and files of thresholds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

from .json_files import read_json


class ThresholdError(ValueError):
    """Thresholds that cannot be used; the message is one line for the user."""


def unique_names(names: Sequence[str], cat_ids: Sequence[int]) -> list[str]:
    """Names of classes as reports give them: one that occurs twice gets its id appended.

    Args:
        names: Names of the classes.
        cat_ids: Their COCO ids, in the same order.
    """
    return [
        f'{name} ({cat_id})' if names.count(name) > 1 else name
        for name, cat_id in zip(names, cat_ids, strict=True)
    ]


def thresholds_in_order(
    thresholds: Mapping[str, float | None], names: Sequence[str], unique: Sequence[str]
) -> list[float | None]:
    """Thresholds of classes; None for a class without one.

    Args:
        thresholds: By name: the unique one, or one for all classes of a name.
        names: Names of the classes.
        unique: What :func:`unique_names` returns for them.
    """
    return [
        thresholds.get(own, thresholds.get(name)) for name, own in zip(names, unique, strict=True)
    ]


def read_thresholds(source: str | os.PathLike | Mapping) -> dict[str, float | None]:
    """Read thresholds by class name.

    Args:
        source: A JSON file that ``tools/eval_lrp.py --json`` has written or that holds only its
            ``thresholds``, or the content of one. None (null) stands for a class without one.

    Raises:
        ThresholdError: If the file cannot be read or a value is not a score in [0, 1].
    """
    where = 'score thresholds' if isinstance(source, Mapping) else str(source)
    content = source if isinstance(source, Mapping) else read_json(source, ThresholdError)
    thresholds = content.get('thresholds', content) if isinstance(content, Mapping) else None
    if not isinstance(thresholds, Mapping) or not thresholds:
        raise ThresholdError(
            f'{where}: no thresholds by class name: write them with tools/eval_lrp.py --json'
        )
    for name, value in thresholds.items():
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (is_number and 0 <= value <= 1):
            raise ThresholdError(
                f'{where}: the threshold of {name!r} must be a score in [0, 1] or null, '
                f'got {value!r}'
            )
    return dict(thresholds)
