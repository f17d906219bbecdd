"""Writes a data set of drawn shapes: images with boxes, class masks or saliency masks."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from .scene_styles import SCENES
from .shape_boxes import Record, box_record, write_box_file
from .shape_masks import saliency_mask, semantic_mask
from .shape_options import LAYOUTS, SPLITS, ShapesOptions
from .shape_painting import paint_image
from .shape_scenes import Scene, compose_scene

MANIFEST = 'manifest.json'
JPEG_QUALITY = 92
CHUNK = 64


def write_shapes(
    out_dir: str | os.PathLike, options: ShapesOptions, workers: int = 1, force: bool = False
) -> bool:
    """Write the images of both splits, what is to be learnt from them, and a manifest.

    With boxes that is ``train/``, ``val/``, ``train.json`` and ``val.json`` in COCO format; with
    masks ``images/{train,val}/*.jpg`` and ``masks/{train,val}/*.png``.
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
    out_dir = Path(out_dir)
    if _is_complete(out_dir, options):
        return False
    if not force and out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise FileExistsError(f'{out_dir} is not empty and holds another data set or other files')
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f'.{out_dir.name}-', dir=out_dir.parent))
    try:
        for split_index, split in enumerate(SPLITS):
            _write_split(draft, split, split_index, options, workers)
        (draft / MANIFEST).write_text(json.dumps(options.manifest(), indent=1) + '\n')
        draft.chmod(0o777 & ~_umask())  # mkdtemp makes it private
        _move_into_place(draft, out_dir, options)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return True


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _places(folder: Path, split: str, options: ShapesOptions) -> tuple[Path, Path]:
    """Return a split's folder of images, and its file of annotations or folder of masks."""
    layout = options.layout
    return folder / layout.images.format(split=split), folder / layout.truth.format(split=split)


def _is_complete(out_dir: Path, options: ShapesOptions) -> bool:
    """Whether the folder holds the whole data set of these options."""
    try:
        if json.loads((out_dir / MANIFEST).read_text()) != options.manifest():
            return False
    except (OSError, ValueError):
        return False
    return all(_has_all(*_places(out_dir, split, options), split, options) for split in SPLITS)


def _has_all(images: Path, truth: Path, split: str, options: ShapesOptions) -> bool:
    count = getattr(options, split)
    whole = truth.is_file() if options.kind == 'boxes' else _count(truth, '*.png') == count
    return whole and _count(images, '*.jpg') == count


def _count(folder: Path, pattern: str) -> int:
    return sum(1 for _ in folder.glob(pattern))


def _move_into_place(draft: Path, out_dir: Path, options: ShapesOptions) -> None:
    """Move the finished files; the manifest goes last and vouches for the rest."""
    if not out_dir.exists():
        os.rename(draft, out_dir)
        return
    replaced = (*_own_names(out_dir), *options.layout.top)
    (out_dir / MANIFEST).unlink(missing_ok=True)
    for name in replaced:
        _remove(out_dir / name)
    for name in (*options.layout.top, MANIFEST):
        os.replace(draft / name, out_dir / name)


def _own_names(out_dir: Path) -> tuple[str, ...]:
    """Return what a data set that lies there already consists of; it may be of another kind."""
    try:
        manifest = json.loads((out_dir / MANIFEST).read_text())
    except (OSError, ValueError):
        return ()
    if not isinstance(manifest, dict) or 'generator' not in manifest:
        return ()
    layout = LAYOUTS.get(manifest.get('kind', 'boxes'))
    return layout.top if layout else ()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _write_split(
    folder: Path, split: str, split_index: int, options: ShapesOptions, workers: int
) -> None:
    images, truth = _places(folder, split, options)
    images.mkdir(parents=True)
    if options.kind != 'boxes':
        truth.mkdir(parents=True)
    count = getattr(options, split)
    draw = partial(_draw_chunk, images, truth, split_index, count, options)
    starts = range(0, count, CHUNK)
    if workers > 1 and len(starts) > 1:
        with ProcessPoolExecutor(workers) as pool:
            chunks = list(pool.map(draw, starts))
    else:
        chunks = [draw(start) for start in starts]
    if options.kind == 'boxes':
        records = [record for chunk in chunks for record in chunk]
        write_box_file(truth, split, options, records)


def _draw_chunk(
    images: Path, truth: Path, split_index: int, count: int, options: ShapesOptions, start: int
) -> list[Record]:
    """Draw up to ``CHUNK`` images from ``start`` on; every image has its own seed.

    Returns:
        The COCO records of the images; empty where masks are written instead.
    """
    cv2.setNumThreads(1)
    records = []
    for index in range(start, min(start + CHUNK, count)):
        rng = np.random.default_rng([options.seed, split_index, index])
        style = SCENES[options.scenes]
        scene = compose_scene(rng, options.width, options.height, options.classes, style)
        image_id = index + 1
        file_name = f'{image_id:06d}.jpg'
        quality = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        _write_image(images / file_name, paint_image(scene), quality)
        if options.kind == 'boxes':
            records.append(box_record(scene, image_id, file_name, options))
        else:
            _write_image(truth / f'{image_id:06d}.png', _mask_of(scene, options))
    return records


def _mask_of(scene: Scene, options: ShapesOptions) -> np.ndarray:
    if options.kind == 'saliency':
        return saliency_mask(scene)
    return semantic_mask(scene, options.classes)


def _write_image(path: Path, pixels: np.ndarray, settings: list[int] | None = None) -> None:
    coded = cv2.imencode(path.suffix, pixels, settings or [])
    path.write_bytes(coded[1].tobytes())
