"""Reading COCO files with errors that say what is wrong in which entry."""

from __future__ import annotations

import json
import math
import os

from pycocotools import mask as mask_api
from pycocotools.coco import COCO

from .coco_matching import index_coco, load_detections
from .json_files import read_json


class CocoFileError(ValueError):
    """A COCO file that cannot be used; the message is one line for the user."""


def read_ground_truth(path: str | os.PathLike, iou_type: str) -> COCO:
    """Read a COCO annotation file.

    A missing ``iscrowd`` is 0, a missing ``area`` that of the box or mask, and annotations are
    numbered from 1, because pycocotools reads the id 0 as "no match".

    Args:
        path: Annotation file.
        iou_type: ``'bbox'`` or ``'segm'``: what every annotation must have.

    Raises:
        CocoFileError: If the file cannot be read or an entry is not usable.
    """
    dataset = read_json(path, CocoFileError)
    if not isinstance(dataset, dict):
        raise CocoFileError(f'{path}: ground truth must be a JSON object, not {_kind(dataset)}')
    for key in ('images', 'annotations', 'categories'):
        if not isinstance(dataset.get(key), list):
            raise CocoFileError(f'{path}: no list "{key}": is it a COCO annotation file?')
    for key in ('images', 'categories'):
        _check_ids(dataset[key], f'{path}: {key}')
    for cat in dataset['categories']:
        cat.setdefault('name', str(cat['id']))
    images = {image['id']: image for image in dataset['images']}
    cat_ids = {cat['id'] for cat in dataset['categories']}
    for index, ann in enumerate(dataset['annotations']):
        where = f'{path}: annotation {index}'
        _check_references(ann, images, cat_ids, where)
        if iou_type == 'bbox' or 'bbox' in ann:
            _check_box(ann, where)
        if iou_type == 'segm':
            ann['segmentation'] = _run_lengths(ann, images, where)
        ann['id'] = index + 1
        ann.setdefault('iscrowd', 0)
        if not _is_number(ann.setdefault('area', _area(ann, iou_type))):
            raise CocoFileError(f'{where}: "area" must be a number')
    return index_coco(dataset)


def read_detections(path: str | os.PathLike, coco_gt: COCO, iou_type: str) -> COCO:
    """Read a COCO result file that belongs to ``coco_gt``; an empty list is a legal result.

    Args:
        path: Result file.
        coco_gt: Ground truth.
        iou_type: ``'bbox'`` or ``'segm'``: what every detection must have.

    Raises:
        CocoFileError: If the file cannot be read or does not fit the ground truth.
    """
    detections = read_json(path, CocoFileError)
    if not isinstance(detections, list):
        raise CocoFileError(f'{path}: detections must be a JSON list, not {_kind(detections)}')
    for index, det in enumerate(detections):
        where = f'{path}: detection {index}'
        _check_references(det, coco_gt.imgs, coco_gt.cats, where)
        if not _is_number(det.get('score')):
            raise CocoFileError(f'{where}: "score" must be a number')
        if iou_type == 'bbox':
            _check_box(det, where)
        else:
            det['segmentation'] = _run_lengths(det, coco_gt.imgs, where)
    return load_detections(coco_gt, detections, iou_type)


def check_scores(detections: COCO, path: str | os.PathLike) -> None:
    """Check that every score can be a promise of IoU.

    Args:
        detections: What :func:`read_detections` returned.
        path: The file, for the message.

    Raises:
        CocoFileError: If a score is outside [0, 1].
    """
    for index, det in enumerate(detections.dataset['annotations']):
        if not 0 <= det['score'] <= 1:
            raise CocoFileError(
                f'{path}: detection {index}: "score" is {det["score"]}: calibration needs scores '
                'in [0, 1]'
            )


def _check_ids(entries: list, where: str) -> None:
    seen = set()
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict) or not _is_integer(entry.get('id')):
            raise CocoFileError(f'{where}: entry {index} has no integer "id"')
        if entry['id'] in seen:
            raise CocoFileError(f'{where}: the id {entry["id"]} occurs twice')
        seen.add(entry['id'])


def _check_references(entry: object, images: dict, cat_ids: set | dict, where: str) -> None:
    if not isinstance(entry, dict):
        raise CocoFileError(f'{where}: must be a JSON object, not {_kind(entry)}')
    for key, known, what in (
        ('image_id', images, 'image'),
        ('category_id', cat_ids, 'category'),
    ):
        if key not in entry:
            raise CocoFileError(f'{where}: "{key}" is missing')
        if not _is_integer(entry[key]) or entry[key] not in known:
            value = json.dumps(entry[key])
            raise CocoFileError(f'{where}: {key} {value} is no {what} of the ground truth')


def _check_box(entry: dict, where: str) -> None:
    box = entry.get('bbox')
    usable = isinstance(box, list) and len(box) == 4 and all(map(_is_number, box))
    if not usable or box[2] < 0 or box[3] < 0:
        raise CocoFileError(f'{where}: "bbox" must be [x, y, width, height], four finite numbers')


def _run_lengths(entry: dict, images: dict, where: str) -> dict:
    """Mask of any COCO form (polygons, run lengths) as compressed run lengths of image size."""
    image = images[entry['image_id']]
    if 'segmentation' not in entry:
        raise CocoFileError(f'{where}: "segmentation" is missing, which --iou-type segm needs')
    if not (_is_integer(image.get('height')) and _is_integer(image.get('width'))):
        raise CocoFileError(f'{where}: image {image["id"]} has no integer "height" and "width"')
    height, width = image['height'], image['width']
    mask = entry['segmentation']
    try:
        if isinstance(mask, list):
            mask = mask_api.merge(mask_api.frPyObjects(mask, height, width))
        elif isinstance(mask['counts'], list):
            mask = mask_api.frPyObjects(mask, height, width)
        size = list(mask['size'])
        mask_api.area(mask)
    except Exception as error:  # pycocotools' C code raises what it likes on bad input
        raise CocoFileError(f'{where}: "segmentation" is not a COCO mask') from error
    if size != [height, width]:
        raise CocoFileError(f'{where}: mask size {size} is not image size {[height, width]}')
    return mask


def _area(entry: dict, iou_type: str) -> float:
    if iou_type == 'segm':
        return float(mask_api.area(entry['segmentation']))
    return float(entry['bbox'][2] * entry['bbox'][3])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _kind(value: object) -> str:
    names = {list: 'a list', dict: 'an object', str: 'a string', type(None): 'null'}
    return names.get(type(value), 'a number' if _is_number(value) else 'a literal')
