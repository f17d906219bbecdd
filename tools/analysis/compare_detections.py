"""Draw detectors beside each other on the same images: what each finds, invents and misses.

A row is an image: ground truth, then each result file at its own LRP-optimal thresholds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import _find_package  # noqa: F401 - first
import numpy as np
from pycocotools.coco import COCO

from analysis.draw_detections import choose_images, read_image
from analysis.judged_results import (
    JudgedBox,
    JudgedResult,
    add_result_options,
    boxes_of_image,
    exit_status_of_drawing,
    judge_files,
)
from analysis.training_log import save_figure
from mmdet_alrp.command_line import OneLineParser, UsageError
from mmdet_alrp.evaluation.coco_files import read_ground_truth

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOOL = 'compare_detections.py'
# Okabe-Ito palette: told apart by colour-blind readers; white with a dark rim stands for the truth
COLOURS = {'truth': '#FFFFFF', 'true': '#56B4E9', 'false': '#E69F00', 'missed': '#FFFFFF'}
MEANINGS = {
    'true': 'true positive (IoU ≥ {tau:g}): class, score, IoU with its object',
    'false': 'false positive: class, score',
    'missed': 'missed object',
}
INK = '#222222'
PANEL, GAP, CAPTION, HEADING, LEGEND = 3.3, 0.12, 0.22, 0.28, 0.35  # inches
POINTS = 7.0  # size of the labels


def true_objects(coco_gt: COCO, image_id: int) -> list[JudgedBox]:
    """Objects of an image that count: no crowds."""
    found = [ann for ann in coco_gt.imgToAnns.get(image_id, []) if not ann['iscrowd']]
    return [JudgedBox(tuple(a['bbox']), coco_gt.cats[a['category_id']]['name']) for a in found]


def kind_of(box: JudgedBox) -> str:
    """Key of a detector's box in ``MEANINGS``."""
    if box.score is None:
        return 'missed'
    return 'false' if box.iou is None else 'true'


def label_of(box: JudgedBox) -> str:
    """Class, score and IoU, as far as the box has them."""
    words = [box.name]
    words += [] if box.score is None else [f'{box.score:.2f}']
    words += [] if box.iou is None else [f'IoU {box.iou:.2f}']
    return ' '.join(words)


def caption_of(boxes: list[JudgedBox]) -> str:
    """How many boxes there are of each kind."""
    kinds = [kind_of(box) for box in boxes]
    return (
        f'{kinds.count("true")} true, {kinds.count("false")} false, {kinds.count("missed")} missed'
    )


def comparison_figure(
    coco_gt: COCO, results: dict[str, JudgedResult], images: dict[int, np.ndarray]
) -> Figure:
    """Draw one row an image.

    Args:
        coco_gt: Ground truth.
        results: Judged result files by name, a column each.
        images: BGR picture by image id, a row each.
    """
    from matplotlib.figure import Figure

    columns = 1 + len(results)
    heights = [PANEL * image.shape[0] / image.shape[1] for image in images.values()]
    width = GAP + columns * (PANEL + GAP)
    height = HEADING + LEGEND + sum(heights) + len(heights) * (CAPTION + GAP)
    figure = Figure(figsize=(width, height), dpi=130)
    names = ['ground truth']
    names += [f'{name} (oLRP {r.report.lrp()["oLRP"]:.3f})' for name, r in results.items()]
    top = height - HEADING
    for column, name in enumerate(names):
        x = GAP + column * (PANEL + GAP)
        figure.text(x / width, (top + 0.06) / height, name, fontsize=11, fontweight='bold')
    for (image_id, image), tall in zip(images.items(), heights, strict=True):
        truth = true_objects(coco_gt, image_id)
        cells = [(truth, f'{coco_gt.imgs[image_id]["file_name"]}: {len(truth)} objects')]
        for result in results.values():
            boxes = boxes_of_image(result, image_id)
            cells.append((boxes, caption_of(boxes)))
        top -= CAPTION + tall
        for column, (boxes, caption) in enumerate(cells):
            x = GAP + column * (PANEL + GAP)
            figure.text(x / width, (top + tall + 0.05) / height, caption, fontsize=8, color=INK)
            axes = figure.add_axes((x / width, top / height, PANEL / width, tall / height))
            draw_panel(axes, image, boxes, truth=column == 0)
        top -= GAP
    _add_legend(figure, next(iter(results.values())).report.tau)
    return figure


def draw_panel(axes: Axes, image: np.ndarray, boxes: list[JudgedBox], truth: bool) -> None:
    """Draw boxes and labels into an image.

    Args:
        axes: As wide as a panel.
        image: Height x width x 3, BGR.
        boxes: What to draw.
        truth: Whether these are the objects themselves, not those that were missed.
    """
    from matplotlib.patches import Rectangle

    height, width = image.shape[:2]
    axes.imshow(image[..., ::-1], extent=(0, width, height, 0), interpolation='bicubic')
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    labels: list[tuple[float, float, float, float]] = []
    for box in boxes:
        kind = 'truth' if truth else kind_of(box)
        x, y, wide, tall = box.box
        line = {'fill': False, 'joinstyle': 'miter'}
        axes.add_patch(Rectangle((x, y), wide, tall, edgecolor=INK, linewidth=3.2, **line))
        style = {'linestyle': (0, (3, 2.4))} if kind == 'missed' else {}
        colour = COLOURS[kind]
        axes.add_patch(Rectangle((x, y), wide, tall, edgecolor=colour, lw=1.8, **line, **style))
    for box in boxes:  # on top of all boxes
        colour = COLOURS['truth' if truth else kind_of(box)]
        labels.append(_write_label(axes, box, colour, labels, (width, height)))


def _write_label(
    axes: Axes,
    box: JudgedBox,
    colour: str,
    others: list[tuple[float, float, float, float]],
    size: tuple[int, int],
) -> tuple[float, float, float, float]:
    """Write a label at the corner of its box where it covers least of the other labels.

    Returns:
        Left, top, right and bottom of the label in pixels of the image.
    """
    from matplotlib.patches import Rectangle
    from matplotlib.textpath import TextPath

    text = label_of(box)
    scale = size[0] / (72 * PANEL)  # pixels of the image a point
    wide = (TextPath((0, 0), text, size=POINTS).get_extents().width + 5.5) * scale
    tall = (POINTS + 2.5) * scale
    x, y, box_wide, box_tall = box.box
    right = x + box_wide - wide
    corners = [(x, y - tall), (x, y + box_tall), (right, y - tall), (right, y + box_tall)]
    corners += [(x, y), (x, y + box_tall - tall), (right, y), (right, y + box_tall - tall)]
    places = []
    for left, top in corners:
        left = min(max(left, 0), max(size[0] - wide, 0))
        top = min(max(top, 0), max(size[1] - tall, 0))
        places.append((left, top, left + wide, top + tall))
    place = min(places, key=lambda own: sum(_overlap(own, other) for other in others))
    left, top = place[:2]
    axes.add_patch(Rectangle((left, top), wide, tall, color=colour, linewidth=0, zorder=3))
    axes.text(
        left + 2 * scale,
        top + tall / 2,
        text,
        fontsize=POINTS,
        color=INK,
        va='center_baseline',
        zorder=4,
        clip_on=True,
    )
    return place


def _overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    """Area that two rectangles (left, top, right, bottom) share."""
    wide = min(a[2], b[2]) - max(a[0], b[0])
    tall = min(a[3], b[3]) - max(a[1], b[1])
    return max(wide, 0) * max(tall, 0)


def _add_legend(figure: Figure, tau: float) -> None:
    from matplotlib.patches import Patch

    handles = []
    for kind, meaning in MEANINGS.items():
        dashes = {'linestyle': (0, (2, 1.4))} if kind == 'missed' else {}
        face = 'none' if kind == 'missed' else COLOURS[kind]
        label = meaning.format(tau=tau)
        handles.append(Patch(facecolor=face, edgecolor=INK, label=label, **dashes))
    figure.legend(handles=handles, loc='lower center', ncols=3, fontsize=8, frameon=False)


def read_images(coco_gt: COCO, folder: Path, ids: Sequence[int]) -> dict[int, np.ndarray]:
    """Read pictures of the ground truth.

    Returns:
        BGR picture by image id.

    Raises:
        UsageError: If there is no such id, or a picture cannot be read.
    """
    images = {}
    for image_id in ids:
        if image_id not in coco_gt.imgs:
            raise UsageError(f'--images: the ground truth has no image with the id {image_id}')
        images[image_id] = read_image(folder / coco_gt.imgs[image_id]['file_name'])
    if not images:
        raise UsageError('no image of the ground truth has an object: nothing to draw')
    return images


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line of the tool."""
    parser = OneLineParser(description=__doc__.partition('\n')[0], prog=TOOL)
    add_result_options(parser)
    parser.add_argument(
        '--img-dir', required=True, type=Path, metavar='FOLDER', help='folder of the images'
    )
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument('--images', nargs='+', type=int, metavar='ID', help='ids of the images')
    chosen.add_argument(
        '--count', type=int, default=3, help='number of images, spread over the data set (3)'
    )
    args = parser.parse_args(argv)
    if args.count < 1:
        parser.error(f'--count must be at least 1, got {args.count}')
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; return the exit status."""
    args = parse_args(argv)

    def draw() -> list[str]:
        coco_gt = read_ground_truth(args.ann, 'bbox')
        ids = args.images or choose_images(coco_gt, args.count)
        images = read_images(coco_gt, args.img_dir, ids)
        results = judge_files(coco_gt, args.results, args.iou)
        save_figure(comparison_figure(coco_gt, results, images), args.out)
        boxes = {
            name: [box for image_id in images for box in boxes_of_image(result, image_id)]
            for name, result in results.items()
        }
        return [f'{name}: {caption_of(found)}' for name, found in boxes.items()]

    return exit_status_of_drawing(TOOL, args.out, draw)


if __name__ == '__main__':
    sys.exit(main())
