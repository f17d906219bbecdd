"""Bounds of oLRP and AP over all orders of the true positives (aLRP paper, Table 5)."""

from __future__ import annotations

import numpy as np
from pycocotools.coco import COCO

from .coco_matching import RHO_IOU, LRPEval, check_tau, index_coco, silenced
from .lrp import MAX_DETS, LRPReport, evaluate_lrp


def correlation_bounds(
    coco_gt: COCO, coco_dt: COCO, iou_type: str = 'bbox', tau: float = 0.5
) -> dict[str, LRPReport]:
    """Evaluate again with the scores of the true positives permuted inside each class.

    Boxes, false positives and the multiset of scores of every class stay as they are. Detections
    beyond COCO's 100 an image count in none of the three evaluations.

    Args:
        coco_gt: Ground truth.
        coco_dt: Detections.
        iou_type: ``'bbox'`` or ``'segm'``.
        tau: IoU threshold of oLRP; true positives are permuted at IoU 0.5, as for rho.

    Returns:
        Reports ``lower`` (scores in the inverse order of IoU), ``given`` (unchanged) and ``upper``
        (scores in the order of IoU); lower and upper refer to quality, not to the value of oLRP.
    """
    check_tau(tau)
    evaluator = LRPEval(coco_gt, coco_dt, iou_type)
    evaluator.params.maxDets = [MAX_DETS]
    evaluator.params.iouThrs = np.array([RHO_IOU])
    evaluator.params.areaRng = evaluator.params.areaRng[:1]
    with silenced():
        evaluator.evaluate()
    kept = {i for found in evaluator.evalImgs if found is not None for i in found['dtIds']}
    reports = {'given': evaluate_lrp(coco_gt, coco_dt, iou_type, tau)}
    for bound, sign in (('lower', 1.0), ('upper', -1.0)):
        scores = _permuted_scores(evaluator, sign)
        annotations = [
            {**ann, 'score': scores.get(ann['id'], ann['score'])}
            for ann in coco_dt.dataset['annotations']
            if ann['id'] in kept
        ]
        permuted = index_coco({**coco_dt.dataset, 'annotations': annotations})
        reports[bound] = evaluate_lrp(coco_gt, permuted, iou_type, tau)
    return reports


def _permuted_scores(evaluator: LRPEval, sign: float) -> dict[int, float]:
    """New score by detection id: the best score goes to the first in the order of sign * IoU."""
    scores: dict[int, float] = {}
    for index in range(len(evaluator.params.catIds)):
        matches = evaluator.class_matches(index, 0, RHO_IOU, MAX_DETS)
        order = np.argsort(sign * matches.ious[matches.is_tp], kind='stable')
        ids = matches.detection_ids[matches.is_tp][order]
        # scores of ClassMatches already stand in descending order
        scores.update(zip(ids.tolist(), matches.scores[matches.is_tp].tolist(), strict=True))
    return scores
