"""How much the order of the true positives matters: AP and oLRP with bounds (paper, Table 5)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial

import _find_package  # noqa: F401 - first

from mmdet_alrp.command_line import OneLineParser, exit_status, iou_threshold
from mmdet_alrp.evaluation.bounds import correlation_bounds
from mmdet_alrp.evaluation.coco_files import CocoFileError, read_detections, read_ground_truth
from mmdet_alrp.evaluation.json_files import write_json

# What is printed of each report; lower oLRP is better
FIGURES = ('AP', 'AP50', 'AP75', 'oLRP', 'oLRP_Loc', 'oLRP_FP', 'oLRP_FN', 'rho')
# Columns, in the order of growing agreement of score and IoU
CASES = {'lower': 'lower bound', 'given': 'as it is', 'upper': 'upper bound'}


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line of the tool."""
    parser = OneLineParser(description=__doc__, prog='correlation_bounds.py')
    parser.add_argument('ground_truth', help='COCO annotation file')
    parser.add_argument('detections', help='COCO result file')
    parser.add_argument('--iou-type', choices=('bbox', 'segm'), default='bbox')
    parser.add_argument(
        '--tau',
        type=iou_threshold,
        default=0.5,
        help='IoU at which a detection counts as a true positive for oLRP (default: 0.5); scores '
        'are permuted among the true positives at IoU 0.5',
    )
    parser.add_argument('--json', metavar='FILE', help='write all figures of the three cases')
    return parser.parse_args(argv)


def table(summaries: dict[str, dict[str, float]]) -> str:
    """Figures as rows, cases as columns; a dash where a figure is undefined."""
    rows = [['figure', *CASES.values()]]
    for figure in FIGURES:
        values = [summaries[case][figure] for case in CASES]
        cells = ['-' if value != value else f'{value:.4f}' for value in values]
        rows.append([figure, *cells])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return '\n'.join(
        '  '.join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool; return the exit status."""
    args = parse_args(argv)
    return exit_status('correlation_bounds.py', partial(run, args), CocoFileError)


def run(args: argparse.Namespace) -> None:
    """Judge the detections three times."""
    coco_gt = read_ground_truth(args.ground_truth, args.iou_type)
    coco_dt = read_detections(args.detections, coco_gt, args.iou_type)
    reports = correlation_bounds(coco_gt, coco_dt, args.iou_type, args.tau)
    summaries = {case: reports[case].summary() for case in CASES}
    print(table(summaries))
    if args.json:
        write_json(args.json, summaries)
        print(f'figures: {args.json}')


if __name__ == '__main__':
    sys.exit(main())
