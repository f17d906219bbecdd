"""Draw the detections of a COCO result file beside the ground truth."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import _find_package  # noqa: F401 - first
import cv2
import numpy as np
from pycocotools.coco import COCO

from mmdet_alrp.atomic_write import atomic_write
from mmdet_alrp.command_line import OneLineParser, UsageError, fail
from mmdet_alrp.evaluation.coco_files import CocoFileError, read_detections, read_ground_truth
from mmdet_alrp.evaluation.threshold_files import (
    ThresholdError,
    read_thresholds,
    thresholds_in_order,
    unique_names,
)

# Okabe-Ito palette as BGR; beyond its length the hues go round
COLOURS = ((0, 159, 230), (233, 180, 86), (115, 158, 0), (66, 228, 240), (0, 94, 213))
COLOURS += ((167, 121, 204), (178, 114, 0))
INK, PAPER = (40, 40, 40), (255, 255, 255)
FONT = cv2.FONT_HERSHEY_SIMPLEX
PANEL = 400  # longer side of a drawn image in pixels
SHEET_PANEL = 300
GAP, CAPTION = 10, 22


def choose_images(coco_gt: COCO, count: int) -> list[int]:
    """Ids of up to ``count`` images with ground truth, spread evenly over the data set."""
    ids = [image_id for image_id in sorted(coco_gt.imgs) if coco_gt.imgToAnns.get(image_id)]
    picks = np.linspace(0, len(ids) - 1, min(count, len(ids))).round().astype(int)
    return [ids[index] for index in picks]


def above_thresholds(
    coco_gt: COCO, detections: list[dict], thresholds: dict[str, float | None]
) -> list[dict]:
    """Detections that score at least the threshold of their class, the best last.

    Classes of one name are told apart as :class:`~mmdet_alrp.evaluation.LRPReport` names them.
    A class whose threshold is None, or that has none, shows nothing: no threshold is good for it.
    """
    cat_ids = list(coco_gt.cats)
    names = [str(cat['name']) for cat in coco_gt.cats.values()]
    scores = thresholds_in_order(thresholds, names, unique_names(names, cat_ids))
    cuts = {
        cat_id: np.inf if score is None else score
        for cat_id, score in zip(cat_ids, scores, strict=True)
    }
    kept = [det for det in detections if det['score'] >= cuts[det['category_id']]]
    return sorted(kept, key=lambda det: det['score'])


def draw_boxes(
    image: np.ndarray, boxes: list[dict], coco_gt: COCO, side: int, objects: Sequence[dict] = ()
) -> np.ndarray:
    """Enlarge an image to ``side`` and draw boxes with class name and, if they have one, score.

    Args:
        image: Height x width x 3, BGR.
        boxes: COCO annotations or detections.
        coco_gt: Ground truth, for the classes.
        side: Longer side of the result in pixels.
        objects: COCO annotations, drawn as thin white boxes over the others.
    """
    scale = side / max(image.shape[:2])
    size = [max(1, round(length * scale)) for length in image.shape[1::-1]]
    canvas = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    order = {cat_id: index for index, cat_id in enumerate(sorted(coco_gt.cats))}
    labels = []
    for box in boxes:
        colour = COLOURS[order[box['category_id']] % len(COLOURS)]
        first, last = _corners(box, scale)
        cv2.rectangle(canvas, first, last, INK, 4, cv2.LINE_AA)  # a rim, seen on any ground
        cv2.rectangle(canvas, first, last, colour, 2, cv2.LINE_AA)
        name = coco_gt.cats[box['category_id']]['name']
        text = f'{name} {box["score"]:.2f}' if 'score' in box else name
        labels.append((text, first, last[1], colour))
    for box in objects:
        cv2.rectangle(canvas, *_corners(box, scale), PAPER, 1, cv2.LINE_AA)
    for label in labels:  # on top of all boxes
        _write_label(canvas, *label)
    return canvas


def _corners(box: dict, scale: float) -> tuple[tuple[int, int], tuple[int, int]]:
    """First and last pixel of a COCO box in the enlarged image."""
    x, y, width, height = (value * scale for value in box['bbox'])
    return (round(x), round(y)), (round(x + width), round(y + height))


def _write_label(
    canvas: np.ndarray, text: str, corner: tuple[int, int], bottom: int, colour: tuple[int, ...]
) -> None:
    """Write a label above the box, or below one that begins at the picture's upper edge."""
    (width, height), base = cv2.getTextSize(text, FONT, 0.38, 1)
    x = int(np.clip(corner[0] - 1, 0, max(0, canvas.shape[1] - width - 4)))
    y = corner[1] - height - base - 2
    if y < 0:
        y = max(0, min(bottom + 2, canvas.shape[0] - height - base - 2))
    cv2.rectangle(canvas, (x, y), (x + width + 4, y + height + base + 1), colour, cv2.FILLED)
    cv2.putText(canvas, text, (x + 2, y + height + 1), FONT, 0.38, INK, 1, cv2.LINE_AA)


def captioned(panel: np.ndarray, caption: str) -> np.ndarray:
    """Put a line of text above a picture."""
    strip = np.full((CAPTION, panel.shape[1], 3), PAPER, np.uint8)
    cv2.putText(strip, caption, (2, CAPTION - 7), FONT, 0.45, INK, 1, cv2.LINE_AA)
    return np.vstack([strip, panel])


def tiled(rows: list[list[np.ndarray]]) -> np.ndarray:
    """Put pictures of any size on one white sheet, row by row."""
    cell_height = max(tile.shape[0] for row in rows for tile in row) + GAP
    cell_width = max(tile.shape[1] for row in rows for tile in row) + GAP
    columns = max(map(len, rows))
    shape = (GAP + cell_height * len(rows), GAP + cell_width * columns, 3)
    sheet = np.full(shape, PAPER, np.uint8)
    for i, row in enumerate(rows):
        for j, tile in enumerate(row):
            top, left = GAP + i * cell_height, GAP + j * cell_width
            sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet


def write_png(path: Path, picture: np.ndarray) -> Path:
    """Write a BGR picture as PNG; there is no half of it."""
    with atomic_write(path) as draft:
        draft.write_bytes(cv2.imencode('.png', picture)[1].tobytes())
    return path


def read_image(path: Path) -> np.ndarray:
    """Read an image as BGR.

    Raises:
        UsageError: If it cannot be read.
    """
    image = cv2.imread(str(path)) if path.is_file() else None
    if image is None:
        raise UsageError(f'{path}: there is no image that can be read')
    return image


def draw_detections(
    coco_gt: COCO,
    detections: list[dict],
    images_dir: str | os.PathLike,
    out_dir: str | os.PathLike,
    count: int = 8,
) -> list[Path]:
    """Write one PNG an image (ground truth left, detections right) and ``contact_sheet.png``.

    Args:
        coco_gt: Ground truth.
        detections: What to draw, in COCO's result format; see :func:`above_thresholds`.
        images_dir: Folder of the images that the ground truth names.
        out_dir: Made if it is missing.
        count: Number of images, spread evenly over the data set.

    Returns:
        The contact sheet, then the single pictures.

    Raises:
        UsageError: If no image has ground truth, or an image cannot be read.
    """
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    truth_row, found_row, sheet, paths = [], [], [], []
    for image_id in choose_images(coco_gt, count):
        name = coco_gt.imgs[image_id]['file_name']
        image = read_image(Path(images_dir) / name)
        truth = coco_gt.imgToAnns[image_id]
        found = [det for det in detections if det['image_id'] == image_id]
        captions = (f'{name}: ground truth ({len(truth)})', f'{name}: detections ({len(found)})')
        pair = [
            captioned(draw_boxes(image, boxes, coco_gt, PANEL), caption)
            for boxes, caption in zip((truth, found), captions, strict=True)
        ]
        paths.append(write_png(out_dir / f'{Path(name).stem}.png', tiled([pair])))
        truth_row.append(captioned(draw_boxes(image, truth, coco_gt, SHEET_PANEL), captions[0]))
        found_row.append(captioned(draw_boxes(image, found, coco_gt, SHEET_PANEL), captions[1]))
    if not paths:
        raise UsageError('no image of the ground truth has an object: nothing to draw')
    for start in range(0, len(paths), 4):
        sheet += [truth_row[start : start + 4], found_row[start : start + 4]]
    return [write_png(out_dir / 'contact_sheet.png', tiled(sheet)), *paths]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; return the exit status."""
    parser = OneLineParser(description=__doc__, prog='draw_detections.py')
    parser.add_argument('ground_truth', help='COCO annotation file')
    parser.add_argument('detections', help='COCO result file with boxes')
    parser.add_argument('images', type=Path, help='folder of the images')
    parser.add_argument('out', type=Path, help='folder for the pictures')
    parser.add_argument('--count', type=int, default=8, help='number of images (8)')
    parser.add_argument(
        '--thresholds',
        metavar='F.json',
        help='draw only what reaches the threshold of its class: the file of CocoLRPMetric, or of '
        'eval_lrp.py --json; without it every detection is drawn',
    )
    args = parser.parse_args(argv)
    if args.count < 1:
        parser.error(f'--count must be at least 1, got {args.count}')
    try:
        coco_gt = read_ground_truth(args.ground_truth, 'bbox')
        found = read_detections(args.detections, coco_gt, 'bbox').dataset['annotations']
        if args.thresholds:
            found = above_thresholds(coco_gt, found, read_thresholds(args.thresholds))
        paths = draw_detections(coco_gt, found, args.images, args.out, args.count)
        print(f'{len(paths)} pictures: {paths[0]}')
    except (UsageError, CocoFileError, ThresholdError, OSError) as error:
        return fail('draw_detections.py', error)
    return 0


if __name__ == '__main__':
    sys.exit(main())
