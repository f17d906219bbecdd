"""From ground truth and detections to the scores and IoUs that calibrators are fitted to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pycocotools.coco import COCO

from mmdet_alrp.evaluation.backends import lrp_evaluator
from mmdet_alrp.evaluation.coco_matching import silenced
from mmdet_alrp.evaluation.lrp import MAX_DETS, matched_classes
from mmdet_alrp.evaluation.matched_classes import MatchedClass


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
