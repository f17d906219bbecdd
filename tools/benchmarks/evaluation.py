"""Time of AP with oLRP against AP alone, on one synthetic data set, with every backend there is.

All sides start from loaded COCO objects and take turns, so that other load on the machine meets
all alike. CPU time is counted, which other programs disturb less than wall time. All sides have to
give the same AP, and all that compute it the same oLRP, to the last bit.
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec

import _find_package  # noqa: F401 - first
import numpy as np
from frame import BenchmarkParser, count, markdown, publish, set_threads
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmdet_alrp.evaluation.backends import BACKENDS, lrp_evaluator
from mmdet_alrp.evaluation.coco_matching import index_coco, load_detections
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


Figures = dict[str, float]
Side = Callable[[COCO, COCO], Figures]


def pycocotools_alone(coco_gt: COCO, coco_dt: COCO) -> Figures:
    """AP by pycocotools with its own settings."""
    return {'AP': run_to_the_end(COCOeval(coco_gt, coco_dt, 'bbox')).stats[0]}


def faster_alone(coco_gt: COCO, coco_dt: COCO) -> Figures:
    """AP by faster-coco-eval with its own settings."""
    from faster_coco_eval import COCOeval_faster

    return {'AP': run_to_the_end(COCOeval_faster(coco_gt, coco_dt, 'bbox')).stats[0]}


def run_to_the_end(evaluator: COCOeval) -> COCOeval:
    """All three steps of an evaluator, without its printing."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator


def ap_and_olrp(coco_gt: COCO, coco_dt: COCO, backend: str, tau: float = 0.5) -> Figures:
    """AP, oLRP with all parts, and rho by this project."""
    return evaluate_lrp(coco_gt, coco_dt, tau=tau, backend=backend).summary()


def as_the_metric(coco_gt: COCO, coco_dt: COCO, backend: str) -> Figures:
    """What the registered metric does: recall at three limits of detections as well."""
    return report_of(run_to_the_end(lrp_evaluator(backend)(coco_gt, coco_dt, 'bbox'))).summary()


def sides_of(backend: str) -> dict[str, Side]:
    """What is timed of a backend, AP alone first."""
    alone = {'pycocotools': pycocotools_alone, 'faster_coco_eval': faster_alone}
    return {
        'AP alone': alone[backend],
        'AP and oLRP': partial(ap_and_olrp, backend=backend),
        'AP and oLRP, tau .62': partial(ap_and_olrp, backend=backend, tau=0.62),
        'as CocoLRPMetric': partial(as_the_metric, backend=backend),
    }


def cpu_seconds(side: Side, coco_gt: COCO, coco_dt: COCO) -> tuple[float, Figures]:
    """CPU time of one call, and its result."""
    start = time.process_time()
    result = side(coco_gt, coco_dt)
    return time.process_time() - start, result


def disagreements(results: dict[tuple[str, str], Figures]) -> list[str]:
    """Sides whose AP or, at the same tau, oLRP is not that of the first, bit by bit."""
    wrong, first = [], {}
    for (backend, name), figures in results.items():
        for key, value in figures.items():
            expected = first.setdefault((key, key[:2] != 'AP' and '.62' in name), value)
            if not np.array_equal(value, expected, equal_nan=True):
                wrong.append(f'{key} of {backend}, {name}: {value!r}, not {expected!r}')
    return wrong


def table(rows: list[dict]) -> str:
    """Times, and ratios to AP alone by pycocotools and by the same backend."""
    lines = []
    for row in rows:
        ratios = (f'{row[key]:.2f}' for key in ('of_pycocotools', 'of_the_same'))
        lines.append([row['backend'], row['what'], f'{min(row["cpu_seconds"]):.2f}', *ratios])
    head = ['matching', 'what', 'CPU s', 'of AP by pycocotools', 'of AP by the same']
    return markdown(head, lines, left=2)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure all sides and print one table; status 1 if their numbers differ."""
    parser = BenchmarkParser('evaluation.py', __doc__, repeat=3)
    parser.add_argument('--images', type=count, default=500, help='5000 is the size of COCO val')
    parser.add_argument('--detections', type=count, default=100, help='detections an image')
    args = parser.parse(argv)
    if args.device.type != 'cpu':
        parser.error(f'--device {args.device}: COCO evaluation runs on the CPU only')
    setting = set_threads(args, 'images', 'detections')
    backends = [name for name in BACKENDS if find_spec(name) is not None]
    pair = synthetic_pair(args.images, args.detections)
    sides = {(name, what): f for name in backends for what, f in sides_of(name).items()}
    seconds: dict[tuple[str, str], list[float]] = {side: [] for side in sides}
    results = {}
    for _ in range(args.repeat):
        for side, function in sides.items():
            taken, results[side] = cpu_seconds(function, *pair)
            seconds[side].append(taken)

    base = min(seconds['pycocotools', 'AP alone'])
    rows = [
        {'backend': name, 'what': what, 'cpu_seconds': taken}
        | {'of_pycocotools': min(taken) / base}
        | {'of_the_same': min(taken) / min(seconds[name, 'AP alone'])}
        for (name, what), taken in seconds.items()
    ]
    wrong = disagreements(results)
    title = '{images} images with {detections} detections each, best of {repeat}'
    publish(args, setting, title, table(rows), rows=rows, wrong=wrong)
    print(f'\nAP {results["pycocotools", "AP alone"]["AP"]:.6f}', end=', ')
    print('; '.join(wrong) or 'AP and oLRP are the same on all sides to the last bit')
    if len(backends) < len(BACKENDS):
        print('faster_coco_eval is not installed: pip install faster-coco-eval')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
