"""Boxes and instance masks of drawn shapes in COCO format."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from .shape_options import ShapesOptions
from .shape_scenes import Scene, instance_masks

Record = tuple[dict, list[dict]]


def box_record(scene: Scene, image_id: int, file_name: str, options: ShapesOptions) -> Record:
    """Return the COCO record of an image and those of its objects, still without ids.

    Args:
        scene: What the image shows.
        image_id: COCO id of the image.
        file_name: Name of the image in the folder of its split.
        options: What the data set is made from.
    """
    image = {
        'id': image_id,
        'file_name': file_name,
        'width': options.width,
        'height': options.height,
    }
    return image, [
        _annotation(mask, image_id, options.classes.index(kind) + 1)
        for kind, mask in instance_masks(scene)
    ]


def write_box_file(path: Path, split: str, options: ShapesOptions, records: list[Record]) -> None:
    """Write the annotation file of a split.

    Args:
        path: The file.
        split: Name of the split.
        options: What the data set is made from.
        records: Those of :func:`box_record`, image by image; objects get their ids here.
    """
    annotations = [annotation for _, of_image in records for annotation in of_image]
    for annotation_id, annotation in enumerate(annotations, start=1):
        annotation['id'] = annotation_id
    categories = [
        {'id': category_id, 'name': name, 'supercategory': 'shape'}
        for category_id, name in enumerate(options.classes, start=1)
    ]
    content = {
        'info': {'description': f'Drawn shapes, {split} split, seed {options.seed}'},
        'licenses': [],
        'images': [image for image, _ in records],
        'annotations': annotations,
        'categories': categories,
    }
    path.write_text(json.dumps(content))


def _annotation(mask: np.ndarray, image_id: int, category_id: int) -> dict:
    """Return the COCO record of one object; the box is the tight one around the visible part."""
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    columns, rows = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    x, y = float(columns[0]), float(rows[0])
    return {
        'image_id': image_id,
        'category_id': category_id,
        'bbox': [x, y, float(columns[-1] + 1 - x), float(rows[-1] + 1 - y)],
        'area': int(mask.sum()),
        'segmentation': {'size': list(rle['size']), 'counts': rle['counts'].decode()},
        'iscrowd': 0,
    }
