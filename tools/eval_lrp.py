"""AP and oLRP of any pair of COCO files: ground truth and detections (boxes or masks)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial

import _find_package  # noqa: F401 - first

from mmdet_alrp.command_line import OneLineParser, exit_status, iou_threshold
from mmdet_alrp.evaluation.backends import BACKENDS, lrp_evaluator
from mmdet_alrp.evaluation.coco_files import (
    CocoFileError,
    check_scores,
    read_detections,
    read_ground_truth,
)
from mmdet_alrp.evaluation.json_files import write_json
from mmdet_alrp.evaluation.lrp import LRPReport, evaluate_lrp
from mmdet_alrp.evaluation.report_text import class_table, summary_text


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line of the tool."""
    parser = OneLineParser(description=__doc__, prog='eval_lrp.py')
    parser.add_argument('ground_truth', help='COCO annotation file')
    parser.add_argument('detections', help='COCO result file; an empty list is a legal result')
    parser.add_argument('--iou-type', choices=('bbox', 'segm'), default='bbox')
    parser.add_argument(
        '--tau',
        type=iou_threshold,
        default=0.5,
        help='IoU at which a detection counts as a true positive for oLRP (default: 0.5)',
    )
    parser.add_argument(
        '--backend',
        choices=tuple(BACKENDS),
        default='pycocotools',
        help='what matches: the numbers are the same, faster_coco_eval is several times faster',
    )
    parser.add_argument('--per-class', action='store_true', help='print a table of the classes')
    parser.add_argument(
        '--calibration',
        action='store_true',
        help='judge the scores as promises of IoU too: LaECE_0, LaACE_0 and D_ECE; with --plot '
        'also reliability diagrams',
    )
    parser.add_argument('--json', metavar='FILE', help='write all figures and the thresholds')
    parser.add_argument(
        '--plot',
        metavar='FOLDER',
        help='write precision-recall curves of the classes and a chart of the oLRP components',
    )
    return parser.parse_args(argv)


def write_results(report: LRPReport, args: argparse.Namespace) -> None:
    """Write what ``--json`` and ``--plot`` ask for."""
    if args.json:
        write_json(args.json, {**report.summary(), 'thresholds': report.thresholds()})
        print(f'figures: {args.json}')
    if args.plot:
        from mmdet_alrp.evaluation.lrp_plots import save_plots

        plots = save_plots(report, args.plot)
        if report.calibration:
            from mmdet_alrp.evaluation.reliability_plots import save_reliability_plots

            plots += save_reliability_plots(report, args.plot)
        print(f'{len(plots)} plots: {args.plot}')


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; return the exit status."""
    args = parse_args(argv)
    return exit_status('eval_lrp.py', partial(run, args), CocoFileError)


def run(args: argparse.Namespace) -> None:
    """Judge the detections and write what was asked for."""
    lrp_evaluator(args.backend)  # before the files are read, which takes its time
    coco_gt = read_ground_truth(args.ground_truth, args.iou_type)
    coco_dt = read_detections(args.detections, coco_gt, args.iou_type)
    if args.calibration:
        check_scores(coco_dt, args.detections)
    judged = (coco_gt, coco_dt, args.iou_type, args.tau, args.backend, args.calibration)
    report = evaluate_lrp(*judged)
    if args.per_class:
        print(class_table(report), end='\n\n')
    print(summary_text(report))
    write_results(report, args)


if __name__ == '__main__':
    sys.exit(main())
