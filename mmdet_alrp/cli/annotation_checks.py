"""Reads a COCO-format annotation file before a run does, for what would be lost in silence."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS
from mmengine.config import ConfigDict
from mmengine.logging import print_log

from mmdet_alrp.command_line import UsageError
from mmdet_alrp.registration import StandIn

NAMES_SHOWN = 8
# The lists of a file, and what this check and CocoDataset read of each of their entries
ENTRIES = {'images': ('id',), 'annotations': (), 'categories': ('id', 'name')}


def check_annotations(dataset: ConfigDict, path: str) -> None:
    """Check classes, categories and boxes of an annotation file against its data set.

    Data sets that are not ``CocoDataset``, or that read files their own way, are left alone.

    Args:
        dataset: Config of a data set.
        path: Its annotation file.

    Raises:
        UsageError: If the file is no COCO-format JSON, a class of the data set has no category, an
            annotation's category is not in the file, or a box is not four finite numbers.
    """
    kind = DATASETS.get(dataset.get('type')) if isinstance(dataset.get('type'), str) else None
    kind = kind.load() if isinstance(kind, StandIn) else kind
    if kind is None or not _reads_as_coco(kind):
        return
    content = _read(path)
    categories = {entry['id']: entry['name'] for entry in content['categories']}
    _check_classes(dataset, kind, set(categories.values()), path)
    images = {entry['id']: entry for entry in content['images']}
    lost = []
    for annotation in content['annotations']:
        said = f'{path}: annotation {annotation.get("id")} (image {annotation.get("image_id")})'
        if annotation.get('category_id') not in categories:
            raise UsageError(
                f'{said} has category_id {annotation.get("category_id")}, which is none of the '
                f"file's categories: {_listed(sorted(categories))}"
            )
        box = annotation.get('bbox')
        if not _is_box(box):
            raise UsageError(f'{said} has bbox {box}: must be four finite numbers x, y, w, h')
        if _is_lost(box, images.get(annotation.get('image_id'))):
            lost.append(said)
    if lost:
        print_log(
            f'{lost[0]}: box without area or outside its image; {len(lost)} of '
            f'{len(content["annotations"])} boxes are such and are left out',
            logger='current',
            level=logging.WARNING,
        )


def _reads_as_coco(kind: type) -> bool:
    methods = ('load_data_list', 'parse_data_info')
    return issubclass(kind, CocoDataset) and all(
        getattr(kind, name) is getattr(CocoDataset, name) for name in methods
    )


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
    except (ValueError, OSError) as error:
        raise UsageError(f'{path} is no readable JSON: {error}') from None
    for key, names in ENTRIES.items():
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise UsageError(f'{path} is no COCO-format annotation file: it has no list {key!r}')
        for number, entry in enumerate(content[key], 1):
            if not isinstance(entry, dict):
                raise UsageError(f'{path}: entry {number} of {key!r} is no JSON object')
            lacking = [name for name in names if name not in entry]
            if lacking:
                raise UsageError(f'{path}: entry {number} of {key!r} has no {lacking[0]!r}')
    return content


def _check_classes(dataset: ConfigDict, kind: type, names: set[str], path: str) -> None:
    metainfo = dataset.get('metainfo')
    classes = metainfo.get('classes') if isinstance(metainfo, Mapping) else None
    classes = kind.METAINFO.get('classes') if classes is None else classes
    if isinstance(classes, str):
        return  # a file of names, or a single class that forgot its comma: left to MMEngine
    missing = [name for name in classes or () if name not in names]
    if missing:
        raise UsageError(
            f'{path} has no category for the classes {_listed(missing)} of {kind.__name__}; its '
            f'categories are {_listed(sorted(names))}: set metainfo=dict(classes=(...)) in the '
            'data set'
        )


def _is_box(box: Any) -> bool:
    return (
        isinstance(box, Sequence)
        and len(box) == 4
        and all(isinstance(value, (int, float)) and math.isfinite(value) for value in box)
    )


def _is_lost(box: Sequence[float], image: Mapping[str, Any] | None) -> bool:
    left, top, width, height = box
    if width < 1 or height < 1:  # as CocoDataset has it
        return True
    if image is None:
        return False
    right = min(left + width, image.get('width', math.inf))
    bottom = min(top + height, image.get('height', math.inf))
    return right <= max(left, 0) or bottom <= max(top, 0)


def _listed(values: Sequence[Any]) -> str:
    shown = ', '.join(str(value) for value in values[:NAMES_SHOWN])
    return f'{shown}, ...' if len(values) > NAMES_SHOWN else shown
