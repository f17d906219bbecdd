"""Time of AP with oLRP against AP alone (pycocotools), on one synthetic data set.

Both sides start from loaded COCO objects and take turns, so that other load on the machine meets
both alike.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

try:
    from mmdet_alrp.evaluation.coco_matching import index_coco, load_detections
except ModuleNotFoundError as missing:
    if missing.name != 'mmdet_alrp':
        raise
    # Not installed: the package lies two folders up.
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from mmdet_alrp.evaluation.coco_matching import index_coco, load_detections

from mmdet_alrp.command_line import OneLineParser
from mmdet_alrp.evaluation.coco_matching import LRPEval
from mmdet_alrp.evaluation.lrp import evaluate_lrp, report_of

NUM_CATS = 80
OBJECTS_PER_IMAGE = 7.3  # as in COCO val2017


def synthetic_pair(num_images: int, dets_per_image: int, seed: int = 0) -> tuple[COCO, COCO]:
    """Ground truth and detections shaped like a detector's result on COCO.

    Args:
        num_images: Size of the set.
        dets_per_image: Detections an image; a third of them are near an object.
        seed: Of the random generator.
    """
    rng = np.random.default_rng(seed)
    frequency = 1.0 / np.arange(1, NUM_CATS + 1)  # few common classes, many rare ones
    frequency /= frequency.sum()
    annotations, detections = [], []
    for image_id in range(1, num_images + 1):
        present = rng.choice(NUM_CATS, size=6, p=frequency)
        num_gt = rng.poisson(OBJECTS_PER_IMAGE)
        boxes = random_boxes(rng, num_gt)
        cats = rng.choice(present, num_gt) + 1
        for box, cat_id in zip(boxes.tolist(), cats.tolist(), strict=True):
            gt = {'id': len(annotations) + 1, 'image_id': image_id, 'category_id': cat_id}
            gt |= {'bbox': box, 'area': 0.6 * box[2] * box[3], 'iscrowd': int(rng.random() < 0.01)}
            annotations.append(gt)
        num_near = min(dets_per_image // 3, 5 * num_gt)
        source = rng.integers(0, max(num_gt, 1), num_near)
        near = boxes[source] * rng.normal(1.0, 0.04, (num_near, 4))
        far = random_boxes(rng, dets_per_image - num_near)
        far_cats = rng.choice(np.append(present, rng.choice(NUM_CATS, 6)), len(far)) + 1
        scores = np.concatenate([rng.beta(2, 3, num_near), rng.beta(1, 8, len(far))])
        all_boxes = np.concatenate([near, far]).tolist()
        all_cats = np.concatenate([cats[source], far_cats]).tolist()
        for box, cat_id, score in zip(all_boxes, all_cats, scores.tolist(), strict=True):
            det = {'image_id': image_id, 'category_id': cat_id, 'bbox': box, 'score': score}
            detections.append(det)
    categories = [{'id': i + 1, 'name': f'class {i}'} for i in range(NUM_CATS)]
    images = [{'id': i + 1, 'width': 640, 'height': 480} for i in range(num_images)]
    coco_gt = index_coco({'images': images, 'annotations': annotations, 'categories': categories})
    return coco_gt, load_detections(coco_gt, detections, 'bbox')


def random_boxes(rng: np.random.Generator, num: int) -> np.ndarray:
    """Boxes (x, y, width, height) from small to large, shape (num, 4)."""
    sides = np.exp(rng.uniform(np.log(8), np.log(300), (num, 2)))
    return np.concatenate([rng.uniform(1, 300, (num, 2)), sides], axis=1)


def ap_alone(coco_gt: COCO, coco_dt: COCO) -> float:
    """AP by pycocotools with its own settings."""
    return float(run_to_the_end(COCOeval(coco_gt, coco_dt, 'bbox')).stats[0])


def run_to_the_end(evaluator: COCOeval) -> COCOeval:
    """All three steps of pycocotools, without its printing."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator


def ap_and_olrp(coco_gt: COCO, coco_dt: COCO, tau: float = 0.5) -> float:
    """AP, oLRP with all parts, and rho by this project; returns AP."""
    return evaluate_lrp(coco_gt, coco_dt, tau=tau).ap['AP']


def ap_recall_and_olrp(coco_gt: COCO, coco_dt: COCO) -> float:
    """What the registered metric does: recall at three limits of detections as well."""
    evaluator = run_to_the_end(LRPEval(coco_gt, coco_dt, 'bbox'))
    return report_of(evaluator).ap['AP']


def ap_and_olrp_at_62(coco_gt: COCO, coco_dt: COCO) -> float:
    """The same with a tau that is none of COCO's thresholds."""
    return ap_and_olrp(coco_gt, coco_dt, tau=0.62)


def cpu_seconds(function: Callable, coco_gt: COCO, coco_dt: COCO) -> tuple[float, float]:
    """CPU time of one call, which other programs disturb less than wall time, and its result."""
    start = time.process_time()
    result = function(coco_gt, coco_dt)
    return time.process_time() - start, result


def main() -> int:
    """Print a table of times and ratios."""
    parser = OneLineParser(description=__doc__, prog='evaluation.py')
    parser.add_argument('--images', type=int, default=500, help='5000 is the size of COCO val')
    parser.add_argument('--detections', type=int, default=100, help='detections an image')
    parser.add_argument('--repeat', type=int, default=3)
    args = parser.parse_args()
    if min(args.images, args.detections, args.repeat) < 1:
        print(f'{parser.prog}: error: all numbers must be positive', file=sys.stderr)
        return 2
    coco_gt, coco_dt = synthetic_pair(args.images, args.detections)
    sides = {
        'AP alone (pycocotools)': ap_alone,
        'AP and oLRP, tau .5': ap_and_olrp,
        'AP and oLRP, tau .62': ap_and_olrp_at_62,
        'as CocoLRPMetric': ap_recall_and_olrp,
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(args.repeat):
        for name, function in sides.items():
            taken, ap = cpu_seconds(function, coco_gt, coco_dt)
            seconds[name].append(taken)
            print(f'{name}: AP {ap:.6f}, {taken:.2f} s', flush=True)
    base = min(seconds['AP alone (pycocotools)'])
    print(f'\n{args.images} images, {args.detections} detections each, {os.cpu_count()} cores')
    print(f'{"":24}{"best CPU s":>12}{"ratio":>8}')
    for name, taken in seconds.items():
        print(f'{name:24}{min(taken):12.2f}{min(taken) / base:8.2f}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
