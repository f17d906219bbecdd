"""Result files by name, each judged by the package's evaluator at one IoU: what plots draw."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO

from mmdet_alrp.command_line import UsageError, exit_status, iou_threshold
from mmdet_alrp.evaluation.coco_files import CocoFileError, read_detections
from mmdet_alrp.evaluation.coco_matching import LRPEval, check_tau, silenced
from mmdet_alrp.evaluation.lrp import MAX_DETS, LRPReport, report_of


@dataclass(frozen=True)
class JudgedResult:
    """One result file after COCO's matching.

    Args:
        evaluator: Has matched and accumulated at one IoU, the first of its thresholds.
        report: AP and oLRP at that IoU.
    """

    evaluator: LRPEval
    report: LRPReport


@dataclass(frozen=True)
class JudgedBox:
    """A box above the threshold, or an object that no such box found.

    Args:
        box: x, y, width, height in pixels.
        name: Name of the class.
        score: Confidence; None for a missed object.
        iou: IoU with the object that it found; None for a false positive and a missed object.
    """

    box: tuple[float, float, float, float]
    name: str
    score: float | None = None
    iou: float | None = None


def named_files(texts: Sequence[str]) -> dict[str, str]:
    """Split NAME=FILE.

    Returns:
        File by name, in the order given.

    Raises:
        UsageError: If a text has another form, or two have one name.
    """
    files = {}
    for text in texts:
        name, _, path = text.partition('=')
        if not name or not path:
            raise UsageError(f'a result must be NAME=FILE, got {text!r}')
        if name in files:
            raise UsageError(f'two results are named {name}')
        files[name] = path
    return files


def judge(coco_gt: COCO, coco_dt: COCO, tau: float) -> JudgedResult:
    """Match boxes as the metric does, at one IoU.

    Args:
        coco_gt: Ground truth.
        coco_dt: Detections.
        tau: IoU from which a detection is a true positive, for oLRP and for AP.

    Raises:
        ValueError: If ``tau`` is not in (0, 1).
    """
    check_tau(tau)
    evaluator = LRPEval(coco_gt, coco_dt, 'bbox')
    evaluator.tau = tau
    evaluator.params.maxDets = [MAX_DETS]
    evaluator.params.iouThrs = np.array([tau])
    with silenced():
        evaluator.evaluate()
        evaluator.accumulate()
    return JudgedResult(evaluator, report_of(evaluator))


def judge_files(coco_gt: COCO, texts: Sequence[str], tau: float) -> dict[str, JudgedResult]:
    """Read and judge result files.

    Args:
        coco_gt: Ground truth.
        texts: NAME=FILE of each.
        tau: IoU from which a detection is a true positive.

    Returns:
        What came out, by name.

    Raises:
        UsageError: As :func:`named_files`.
        CocoFileError: If a file cannot be read or does not fit the ground truth.
    """
    return {
        name: judge(coco_gt, read_detections(path, coco_gt, 'bbox'), tau)
        for name, path in named_files(texts).items()
    }


def boxes_of_image(result: JudgedResult, image_id: int) -> list[JudgedBox]:
    """Detections of an image at the LRP-optimal thresholds of their classes, and missed objects.

    A class without such a threshold shows its missed objects only. What COCO ignores (crowds, and
    detections that lie on one) is left out.

    Returns:
        Detections, the best first, then missed objects.
    """
    evaluator = result.evaluator
    all_sizes = evaluator.params.areaRng[0]
    best = {c.cat_id: c.best for c in result.report.classes}
    detected, missed = [], []
    for match in evaluator.evalImgs:
        if match is None or match['image_id'] != image_id or match['aRng'] != all_sizes:
            continue
        name = str(evaluator.cocoGt.cats[match['category_id']]['name'])
        scores = np.array(match['dtScores'])
        # A comparison with NaN, the threshold of a class without true positives, is False.
        shown = (scores >= best[match['category_id']].threshold) & ~match['dtIgnore'][0]
        objects = match['dtMatches'][0]
        for place in np.flatnonzero(shown):
            box = tuple(evaluator.cocoDt.anns[match['dtIds'][place]]['bbox'])
            iou = float(match['dtIous'][0, place]) if objects[place] else None
            detected.append(JudgedBox(box, name, float(scores[place]), iou))
        found = set(objects[shown].tolist())
        for object_id, ignored in zip(match['gtIds'], match['gtIgnore'], strict=True):
            if not ignored and object_id not in found:
                missed.append(JudgedBox(tuple(evaluator.cocoGt.anns[object_id]['bbox']), name))
    return sorted(detected, key=lambda found: -found.score) + missed


def add_result_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a tool that draws result files: --ann, --results, --out and --iou."""
    parser.add_argument('--ann', required=True, metavar='F.json', help='COCO annotation file')
    parser.add_argument(
        '--results',
        nargs='+',
        required=True,
        metavar='NAME=FILE',
        help='COCO result files with boxes, and what to call them',
    )
    parser.add_argument('--out', type=Path, required=True, metavar='F.png', help='picture to write')
    parser.add_argument(
        '--iou', type=iou_threshold, default=0.5, help='IoU of a true positive (0.5)'
    )


def exit_status_of_drawing(tool: str, out: Path, draw: Callable[[], Sequence[str]]) -> int:
    """Run a tool that draws result files; wrong use ends in one line.

    Args:
        tool: Its file name, for the message.
        out: The picture.
        draw: Writes it and returns the lines that the tool prints before its path.

    Returns:
        0, or 2 after wrong use.
    """

    def run() -> None:
        try:
            print(*draw(), out, sep='\n')
        except OSError as error:
            raise UsageError(f'{out}: cannot be written: {error.strerror}') from None

    return exit_status(tool, run, CocoFileError)
