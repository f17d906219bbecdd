"""From ground truth and detections to the scores and IoUs that calibrators are fitted to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pycocotools.coco import COCO

from mmdet_alrp.evaluation.backends import lrp_evaluator
from mmdet_alrp.evaluation.coco_matching import silenced
from mmdet_alrp.evaluation.lrp import MAX_DETS, matched_classes
from mmdet_alrp.evaluation.matched_classes import MatchedClass
from mmdet_alrp.evaluation.threshold_files import unique_names

from .fitting import Calibration


def match_classes(
    coco_gt: COCO,
    coco_dt: COCO,
    iou_type: str = 'bbox',
    img_ids: Sequence[int] | None = None,
    backend: str = 'pycocotools',
) -> list[MatchedClass]:
    """Match detections for calibration alone; AP is not computed.

    Args:
        coco_gt: Ground truth.
        coco_dt: Detections.
        iou_type: ``'bbox'`` or ``'segm'``.
        img_ids: Images to look at; None takes all.
        backend: ``'pycocotools'`` or ``'faster_coco_eval'``.

    Returns:
        The classes of the ground truth in the order of their ids.

    Raises:
        ValueError: If ``iou_type`` or ``backend`` is unknown.
        ModuleNotFoundError: If faster-coco-eval is asked for and not installed.
    """
    evaluator = lrp_evaluator(backend)(coco_gt, coco_dt, iou_type)
    evaluator.calibration = True
    evaluator.params.maxDets = [MAX_DETS]
    evaluator.params.iouThrs = np.array([evaluator.tau])
    evaluator.params.areaRng = evaluator.params.areaRng[:1]
    if img_ids is not None:
        evaluator.params.imgIds = list(img_ids)
    with silenced():
        evaluator.evaluate()
    return matched_classes(evaluator)


def calibrate_detections(
    calibration: Calibration, detections: Sequence[dict], coco_gt: COCO
) -> list[dict]:
    """Give detections of a file the expected IoU as score.

    Args:
        calibration: Fitted to detections of the same detector on other images.
        detections: In COCO's result format; they are not changed.
        coco_gt: Ground truth, for the names of the classes.

    Returns:
        Copies, in the same order.
    """
    cat_ids = list(coco_gt.cats)
    names = unique_names([str(coco_gt.cats[cat_id]['name']) for cat_id in cat_ids], cat_ids)
    maps = {c: calibration.knots_of(name) for c, name in zip(cat_ids, names, strict=True)}
    return [{**det, 'score': float(maps[det['category_id']](det['score']))} for det in detections]
