"""Writes a COCO-format data set of drawn shapes: images, boxes and instance masks."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from .shape_outlines import CLASS_OUTLINES
from .shape_painting import paint_image
from .shape_scenes import compose_scene, instance_masks

GENERATOR_VERSION = 2  # raise it whenever the same options give other files
SPLITS = ('train', 'val')
MANIFEST = 'manifest.json'
JPEG_QUALITY = 92
CHUNK = 64


@dataclass(frozen=True)
class ShapesOptions:
    """What a data set of drawn shapes is made from; equal options give equal files.

    Args:
        train: Number of training images.
        val: Number of validation images.
        width: Image width in pixels.
        height: Image height in pixels.
        seed: Seed of the whole set.
        classes: Names of the classes to draw; their order is that of the category ids.
    """

    train: int = 3000
    val: int = 500
    width: int = 160
    height: int = 160
    seed: int = 0
    classes: tuple[str, ...] = tuple(CLASS_OUTLINES)

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn."""
        for name in SPLITS:
            if getattr(self, name) < 1:
                raise ValueError(f'{name} must be at least 1, got {getattr(self, name)}')
        if not (32 <= self.width <= 4096 and 32 <= self.height <= 4096):
            raise ValueError(f'size must be 32 to 4096 a side, got {self.width}x{self.height}')
        if self.seed < 0:
            raise ValueError(f'seed must not be negative, got {self.seed}')
        unknown = [name for name in self.classes if name not in CLASS_OUTLINES]
        if unknown or not self.classes or len(set(self.classes)) < len(self.classes):
            raise ValueError(
                f'classes must be different ones of {", ".join(CLASS_OUTLINES)}; '
                f'got {", ".join(self.classes) or "none"}'
            )


def write_shapes(
    out_dir: Path, options: ShapesOptions, workers: int = 1, force: bool = False
) -> bool:
    """Write ``train/``, ``val/``, ``train.json``, ``val.json`` and a manifest.

    Everything is written beside ``out_dir`` first and moved at the end, so that an interrupted
    call leaves no half data set under the final name.

    Args:
        out_dir: Folder of the data set; it may exist if it is empty.
        options: What to draw.
        workers: Number of processes; the result does not depend on it.
        force: Replace the data set's own files in a folder that is not empty.

    Returns:
        False if ``out_dir`` already holds the data set of these options, True if it was written.

    Raises:
        FileExistsError: If ``out_dir`` holds something else and ``force`` is not set.
    """
    manifest = json.loads(json.dumps({'generator': GENERATOR_VERSION, **asdict(options)}))
    if _is_complete(out_dir, manifest):
        return False
    if not force and out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise FileExistsError(f'{out_dir} is not empty and holds another data set or other files')
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f'.{out_dir.name}-', dir=out_dir.parent))
    try:
        for split_index, split in enumerate(SPLITS):
            _write_split(draft, split, split_index, options, workers)
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=1) + '\n')
        draft.chmod(0o777 & ~_umask())  # mkdtemp makes it private
        _move_into_place(draft, out_dir)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _is_complete(out_dir: Path, manifest: dict) -> bool:
    """Whether the folder holds the whole data set that the manifest describes."""
    try:
        if json.loads((out_dir / MANIFEST).read_text()) != manifest:
            return False
        return all(
            (out_dir / f'{split}.json').is_file()
            and sum(1 for _ in (out_dir / split).glob('*.jpg')) == manifest[split]
            for split in SPLITS
        )
    except (OSError, ValueError):
        return False


def _move_into_place(draft: Path, out_dir: Path) -> None:
    """Move the finished files; the manifest goes last and vouches for the rest."""
    if not out_dir.exists():
        os.rename(draft, out_dir)
        return
    (out_dir / MANIFEST).unlink(missing_ok=True)
    names = [*SPLITS, *(f'{split}.json' for split in SPLITS), MANIFEST]
    for name in names:
        target = out_dir / name
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(draft / name, target)


def _write_split(
    folder: Path, split: str, split_index: int, options: ShapesOptions, workers: int
) -> None:
    count = getattr(options, split)
    (folder / split).mkdir()
    draw = partial(_draw_chunk, folder / split, split_index, count, options)
    starts = range(0, count, CHUNK)
    if workers > 1 and len(starts) > 1:
        with ProcessPoolExecutor(workers) as pool:
            chunks = list(pool.map(draw, starts))
    else:
        chunks = [draw(start) for start in starts]
    images, annotations = [], []
    for chunk_images, chunk_annotations in chunks:
        images += chunk_images
        annotations += chunk_annotations
    for annotation_id, annotation in enumerate(annotations, start=1):
        annotation['id'] = annotation_id
    categories = [
        {'id': category_id, 'name': name, 'supercategory': 'shape'}
        for category_id, name in enumerate(options.classes, start=1)
    ]
    content = {
        'info': {'description': f'Drawn shapes, {split} split, seed {options.seed}'},
        'licenses': [],
        'images': images,
        'annotations': annotations,
        'categories': categories,
    }
    (folder / f'{split}.json').write_text(json.dumps(content))


def _draw_chunk(
    folder: Path, split_index: int, count: int, options: ShapesOptions, start: int
) -> tuple[list[dict], list[dict]]:
    """Draw up to ``CHUNK`` images from ``start`` on; every image has its own seed."""
    cv2.setNumThreads(1)
    images, annotations = [], []
    for index in range(start, min(start + CHUNK, count)):
        rng = np.random.default_rng([options.seed, split_index, index])
        scene = compose_scene(rng, options.width, options.height, options.classes)
        image_id = index + 1
        file_name = f'{image_id:06d}.jpg'
        coded = cv2.imencode('.jpg', paint_image(scene), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        (folder / file_name).write_bytes(coded[1].tobytes())
        images.append(
            {
                'id': image_id,
                'file_name': file_name,
                'width': options.width,
                'height': options.height,
            }
        )
        annotations += [
            _annotation(mask, image_id, options.classes.index(kind) + 1)
            for kind, mask in instance_masks(scene)
        ]
    return images, annotations


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
