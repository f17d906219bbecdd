"""Fit maps from a detector's scores to the IoU that is to be expected, on validation images.

Takes GROUND_TRUTH.json DETECTIONS.json in COCO format, or CONFIG.py CHECKPOINT, which first
detects on the config's validation images.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import _find_package  # noqa: F401 - first
import numpy as np
from pycocotools.coco import COCO

from mmdet_alrp.calibration import (
    METHODS,
    Calibration,
    CalibrationError,
    cross_fit,
    fit_calibration,
    match_classes,
    write_calibration,
)
from mmdet_alrp.calibration.calibrators import check_method
from mmdet_alrp.calibration.fitting import MIN_DETECTIONS, merged
from mmdet_alrp.command_line import OneLineParser, UsageError, exit_status
from mmdet_alrp.evaluation.backends import BACKENDS, lrp_evaluator
from mmdet_alrp.evaluation.coco_files import (
    CocoFileError,
    check_scores,
    read_detections,
    read_ground_truth,
)


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = OneLineParser(description=__doc__, prog='calibrate.py')
    parser.add_argument('truth', metavar='GROUND_TRUTH.json|CONFIG.py')
    parser.add_argument('found', metavar='DETECTIONS.json|CHECKPOINT')
    parser.add_argument('--out', required=True, metavar='scores.json', help='file of the maps')
    parser.add_argument(
        '--method', choices=tuple(METHODS), default='isotonic', help='calibrator (isotonic)'
    )
    parser.add_argument('--class-agnostic', action='store_true', help='one map for all classes')
    parser.add_argument(
        '--folds',
        type=int,
        metavar='K',
        help='also say how good maps are on images that they were not fitted to: fit K times to '
        'all images but a Kth; the maps in the file are fitted to all images',
    )
    parser.add_argument('--iou-type', choices=('bbox', 'segm'), default='bbox')
    parser.add_argument(
        '--backend', choices=tuple(BACKENDS), default='pycocotools', help='what matches'
    )
    parser.add_argument('--work-dir', help='folder of the logs, with CONFIG.py')
    parser.add_argument(
        '--cfg-options', nargs='+', metavar='KEY=VALUE', help='settings, with CONFIG.py'
    )
    args = parser.parse_args(argv)
    if args.folds is not None and args.folds < 2:
        parser.error(f'--folds must be at least 2, got {args.folds}')
    if not is_config(args) and (args.work_dir or args.cfg_options):
        parser.error('--work-dir and --cfg-options need CONFIG.py CHECKPOINT')
    return args


def is_config(args: argparse.Namespace) -> bool:
    """Say whether a detector is to be run."""
    return args.truth.endswith('.py')


def detect(args: argparse.Namespace, folder: str) -> tuple[str, Path]:
    """Run the detector; return the annotation file and that of its detections.

    Raises:
        UsageError: If config, checkpoint or data are not fit for it.
    """
    from mmdet_alrp.cli.output_checks import check_place
    from mmdet_alrp.cli.run_config import load_config
    from mmdet_alrp.cli.run_options import add_common_options
    from mmdet_alrp.cli.validation_detections import detect_validation_images

    parser = OneLineParser(prog='calibrate.py')
    add_common_options(parser)
    options = ['--cfg-options', *args.cfg_options] if args.cfg_options else []
    run = parser.parse_args(options)
    check_place(args.out, '--out')
    run.config, run.work_dir = args.truth, args.work_dir
    return detect_validation_images(load_config(run), args.found, folder, args.iou_type)


def fit(coco_gt: COCO, coco_dt: COCO, args: argparse.Namespace) -> Calibration:
    """Fit to all images, and judge by cross-fitting if asked for.

    Raises:
        UsageError: If there are fewer images than folds.
    """
    image_ids = np.random.default_rng(0).permutation(sorted(coco_gt.imgs))
    if args.folds and args.folds > len(image_ids):
        raise UsageError(f'--folds {args.folds}: there are only {len(image_ids)} images')
    folds = [
        match_classes(coco_gt, coco_dt, args.iou_type, ids.tolist(), args.backend)
        for ids in np.array_split(image_ids, args.folds or 1)
    ]
    settings = (args.method, args.class_agnostic)
    calibration = fit_calibration(merged(folds), *settings, args.iou_type)
    if args.folds:
        errors = {'cross_fitted': cross_fit(folds, *settings).summary()}
        calibration = replace(calibration, errors={**calibration.errors, **errors})
    return calibration


def report(calibration: Calibration, args: argparse.Namespace) -> str:
    """Say what the maps are made of and how good they are."""
    lines = []
    for name, c in calibration.classes.items():
        own = 'own map' if c.knots else 'map of all classes'
        few = f' (fewer than {MIN_DETECTIONS} detections)'
        reason = few if not c.knots and not args.class_agnostic else ''
        cut = '-' if c.threshold is None else f'{c.raw_threshold:.4f} becomes {c.threshold:.4f}'
        lines.append(f'{name}: {c.num_detections} detections, {own}{reason}; threshold {cut}')
    where = {
        'after': ' on the same images',
        'cross_fitted': f' on other images, {args.folds} folds',
    }
    for kind, errors in calibration.errors.items():
        figures = '  '.join(f'{name} {value:.4f}' for name, value in errors.items())
        lines.append(f'{kind.replace("_", "-")}: {figures}{where.get(kind, "")}')
    if not args.folds:
        lines.append('the same images flatter the maps: --folds 5 judges on others')
    return '\n'.join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; return the exit status."""
    args = parse_args(argv)
    return exit_status('calibrate.py', partial(run, args), CocoFileError)


def run(args: argparse.Namespace) -> None:
    """Fit the maps, write them and say how good they are."""
    # before a detector runs or files are read, which takes its time
    lrp_evaluator(args.backend)
    check_method(args.method)
    with tempfile.TemporaryDirectory(prefix='calibrate-') as folder:
        truth, found = detect(args, folder) if is_config(args) else (args.truth, args.found)
        coco_gt = read_ground_truth(truth, args.iou_type)
        coco_dt = read_detections(found, coco_gt, args.iou_type)
    check_scores(coco_dt, found)
    try:
        calibration = fit(coco_gt, coco_dt, args)
    except CalibrationError as error:
        raise UsageError(f'{args.found}: {error}') from None
    write_calibration(args.out, calibration)
    print(report(calibration, args))
    print(f'maps: {args.out}')


if __name__ == '__main__':
    sys.exit(main())
