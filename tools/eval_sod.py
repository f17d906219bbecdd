"""Saliency figures of folders of grey maps against a folder of masks, for one or several methods.

A map is a grey image of the same stem as its mask; masks are salient where they are above 128, in
the form in which the public data sets and most publications share them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import _find_package  # noqa: F401 - first
import cv2
import numpy as np

from mmdet_alrp.command_line import OneLineParser, UsageError, exit_status
from mmdet_alrp.evaluation.json_files import write_json
from mmdet_alrp.segmentation.evaluation import (
    average_scores,
    curves_of,
    saliency_metrics,
    saliency_scores,
    save_curve_plots,
    save_curves,
)

IMAGES = ('.png', '.jpg', '.jpeg', '.bmp')
SALIENT_ABOVE = 128  # grey level of a mask


def method(text: str) -> tuple[str, Path]:
    """Name and folder of a method from the command line.

    Raises:
        ArgumentTypeError: If it is not ``NAME=FOLDER``.
    """
    name, separator, folder = text.partition('=')
    if not (name and separator and folder):
        raise argparse.ArgumentTypeError(f'must be NAME=FOLDER: {text}')
    return name, Path(folder)


def weight(text: str) -> float:
    """Positive number from the command line.

    Raises:
        ArgumentTypeError: If it is none.
    """
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float('inf'):
        raise argparse.ArgumentTypeError(f'must be a positive number: {text}')
    return value


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line of the tool."""
    parser = OneLineParser(description=__doc__, prog='eval_sod.py')
    parser.add_argument('masks', type=Path, help='folder of masks')
    parser.add_argument(
        'methods', nargs='+', type=method, metavar='NAME=FOLDER', help='folder of saliency maps'
    )
    parser.add_argument(
        '--beta2', type=weight, default=0.3, help='beta squared of the F-measure (default: 0.3)'
    )
    parser.add_argument(
        '--no-stretch',
        action='store_true',
        help='take the maps as they are; by default each is stretched to the whole of [0, 1]',
    )
    parser.add_argument(
        '--resize', action='store_true', help='resize maps that are not as large as their mask'
    )
    parser.add_argument('--json', metavar='FILE', type=Path, help='write all figures')
    parser.add_argument(
        '--curves',
        metavar='FOLDER',
        type=Path,
        help='write precision-recall and F-threshold curves: pr_curve.png, f_threshold.png, '
        'curves.json',
    )
    args = parser.parse_args(argv)
    names = [name for name, _ in args.methods]
    if len(set(names)) < len(names):
        parser.error(f'methods must have different names: {" ".join(names)}')
    return args


def images_of(folder: Path) -> dict[str, Path]:
    """Images of a folder by their stem.

    Args:
        folder: Its sub-folders are not searched.

    Raises:
        UsageError: If it is no folder, has no images or two of the same stem.
    """
    if not folder.is_dir():
        raise UsageError(f'{folder} is no folder')
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGES)
    if not files:
        raise UsageError(f'{folder} has no images ({", ".join(IMAGES)})')
    found = {file.stem: file for file in files}
    if len(found) < len(files):
        twice = next(file for file in files if found[file.stem] != file)
        raise UsageError(f'{folder} has {twice.name} and {found[twice.stem].name}: leave one out')
    return found


def read_grey(path: Path) -> np.ndarray:
    """Grey levels of an image, uint8, shape (h, w).

    Args:
        path: The image; colours are turned into grey.

    Raises:
        UsageError: If it cannot be read.
    """
    image = cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise UsageError(f'{path} is no image that can be read')
    return image


def read_mask(path: Path) -> np.ndarray:
    """Which pixels of a mask are salient, bool, shape (h, w).

    Args:
        path: The image.

    Raises:
        UsageError: If it cannot be read, or is neither black nor salient anywhere.
    """
    grey = read_grey(path)
    if 0 < grey.max() <= SALIENT_ABOVE:
        raise UsageError(
            f'{path} holds nothing brighter than {grey.max()}: salient pixels must be above '
            f'{SALIENT_ABOVE}, as in masks of 0 and 255'
        )
    return grey > SALIENT_ABOVE


def score_folder(masks: dict[str, Path], folder: Path, args: argparse.Namespace) -> dict:
    """Average scores of a folder of saliency maps.

    Args:
        masks: The masks by their stem.
        folder: The maps; others than those of the masks are left alone.
        args: Of the command line.

    Raises:
        UsageError: If a map is missing, an image cannot be read, a map is of another size or a mask
            is none.
    """
    maps = images_of(folder)
    missing = [stem for stem in masks if stem not in maps]
    if missing:
        raise UsageError(f'{folder} lacks {len(missing)} of {len(masks)} maps, first {missing[0]}')
    scores = []
    for stem, path in masks.items():
        target, grey = read_mask(path), read_grey(maps[stem])
        if grey.shape != target.shape:
            if not args.resize:
                sizes = f'{grey.shape} and {target.shape}'
                raise UsageError(f'{maps[stem]} and its mask differ in size, {sizes}: use --resize')
            grey = cv2.resize(grey, target.shape[::-1], interpolation=cv2.INTER_LINEAR)
        scores.append(saliency_scores(grey / 255, target, None, args.beta2, not args.no_stretch))
    return average_scores(scores)


def table(figures: dict[str, dict[str, float]]) -> str:
    """One line a method, one column a figure.

    Args:
        figures: Figures by their names, by the names of the methods.
    """
    width = max(map(len, figures))
    heads = list(next(iter(figures.values())))
    lines = ['  '.join([' ' * width, *(f'{head:>8}' for head in heads)])]
    for name, row in figures.items():
        lines.append('  '.join([f'{name:<{width}}', *(f'{row[head]:8.4f}' for head in heads)]))
    return '\n'.join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; return the exit status."""
    args = parse_args(argv)
    return exit_status('eval_sod.py', partial(run, args), ValueError, ImportError)


def run(args: argparse.Namespace) -> None:
    """Judge all folders of saliency maps."""
    masks = images_of(args.masks)
    means = {name: score_folder(masks, folder, args) for name, folder in args.methods}
    figures = {name: saliency_metrics(mean) for name, mean in means.items()}
    print(f'{len(masks)} images\n{table(figures)}')
    if args.json:
        write_json(args.json, figures)
    if args.curves:
        curves = {name: curves_of(mean) for name, mean in means.items()}
        save_curves(args.curves / 'curves.json', curves)
        save_curve_plots(curves, args.curves)
        print(f'curves: {args.curves}')


if __name__ == '__main__':
    sys.exit(main())
