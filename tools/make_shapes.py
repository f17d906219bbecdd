"""Draw the embedded data set of shapes: images with boxes in COCO format, or with masks."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import _find_package  # noqa: F401 - first

from mmdet_alrp.command_line import OneLineParser, fail
from mmdet_alrp.datasets.scene_styles import SCENES
from mmdet_alrp.datasets.shape_files import write_shapes
from mmdet_alrp.datasets.shape_options import LAYOUTS, ShapesOptions
from mmdet_alrp.datasets.shape_outlines import CLASS_OUTLINES


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition('x')
    try:
        return int(width), int(height)
    except ValueError:
        raise argparse.ArgumentTypeError(f'must be WIDTHxHEIGHT, got {text!r}') from None


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line."""
    defaults = ShapesOptions()
    parser = OneLineParser(description=__doc__, prog='make_shapes.py')
    parser.add_argument('out_dir', type=Path, help='folder of the data set, e.g. data/shapes')
    parser.add_argument(
        '--kind',
        choices=LAYOUTS,
        default=defaults.kind,
        help='boxes and instance masks in COCO format (the default), masks of class ids with '
        'background as 0, or masks that are 255 where the largest objects are',
    )
    parser.add_argument(
        '--scenes',
        choices=SCENES,
        default=defaults.scenes,
        help='easy (the default): few large shapes, well seen; hard: small, hidden and faint too',
    )
    parser.add_argument('--train', type=int, default=defaults.train, help='training images')
    parser.add_argument('--val', type=int, default=defaults.val, help='validation images')
    parser.add_argument(
        '--size',
        type=_size,
        default=(defaults.width, defaults.height),
        metavar='WxH',
        help=f'image size in pixels ({defaults.width}x{defaults.height})',
    )
    parser.add_argument('--seed', type=int, default=defaults.seed)
    parser.add_argument(
        '--classes',
        nargs='+',
        default=list(CLASS_OUTLINES),
        metavar='NAME',
        help=f'any of: {", ".join(CLASS_OUTLINES)} (all)',
    )
    parser.add_argument(
        '--workers', type=int, default=os.cpu_count() or 1, help='processes (one a core)'
    )
    parser.add_argument(
        '--force', action='store_true', help='replace the data set in a folder that is not empty'
    )
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Draw the data set; return the exit status."""
    args = parse_args(argv)
    started = time.perf_counter()
    try:
        width, height = args.size
        options = ShapesOptions(
            args.train,
            args.val,
            width,
            height,
            args.seed,
            tuple(args.classes),
            args.kind,
            args.scenes,
        )
        written = write_shapes(args.out_dir, options, args.workers, args.force)
    except FileExistsError as error:
        return fail('make_shapes.py', f'{error}: add --force to replace it')
    except (ValueError, OSError) as error:
        return fail('make_shapes.py', error)
    seconds = time.perf_counter() - started
    count = f'{args.train} training and {args.val} validation images'
    if written:
        print(f'{args.out_dir}: drew {count} in {seconds:.1f} s')
    else:
        print(f'{args.out_dir}: {count} are there already')
    return 0


if __name__ == '__main__':
    sys.exit(main())
