"""Detections with scores and IoUs at hand, without boxes."""

import numpy as np

from mmdet_alrp.calibration import MatchedClass
from mmdet_alrp.evaluation.lrp_curve import ClassMatches


def matched(name, scores, ious, num_gt=None):
    """A class whose detections with an IoU above 0 belong to an object."""
    scores, ious = np.asarray(scores, dtype=float), np.asarray(ious, dtype=float)
    order = np.argsort(-scores, kind='stable')
    scores, ious, ids = scores[order], ious[order], order + 1
    num_gt = int((ious > 0).sum()) if num_gt is None else num_gt
    by_iou = ClassMatches(scores, ious > 0, ious, ids, num_gt)
    is_tp = ious >= 0.5
    return MatchedClass(
        name, by_iou, ClassMatches(scores, is_tp, np.where(is_tp, ious, 0.0), ids, num_gt)
    )


def random_class(name, seed, num=200, score_range=0.2):
    """Scores below ``score_range`` that order their IoUs roughly; the lowest find nothing."""
    rng = np.random.default_rng(seed)
    quality = rng.uniform(size=num)
    ious = np.clip(quality + rng.normal(0, 0.15, num), 0, 1) * (quality > 0.4)
    return matched(name, np.float32(0.01 + score_range * quality**2), ious)
