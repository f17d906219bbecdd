"""Detections of a class with the IoUs that their scores should tell, and what survives thresholds.

With a threshold of 0 COCO's matching also pairs a detection with a free object that it does not
touch. Its IoU is 0, so that its target is the same; but LRP counts one localisation error of 1
where it would count a false positive and a missed object. A detection that finds all objects taken
is paired with a crowd anywhere in the image, if there is one, and then does not count. Both are
kept as they are, because published figures are of that matching.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .coco_matching import ANY_IOU
from .lrp_curve import ClassMatches, lrp_curve, optimal_lrp


@dataclass(frozen=True)
class MatchedClass:
    """One class after COCO's matching.

    Args:
        name: Class name, unique among the classes.
        by_iou: Matched at IoU 0: the IoUs are the targets.
        by_tp: Matched at IoU 0.5: 1 and 0 for true and false positives are the targets.
    """

    name: str
    by_iou: ClassMatches
    by_tp: ClassMatches

    def optimal_threshold(self) -> float | None:
        """LRP-optimal score at tau = 0; None without a detection that belongs to an object."""
        if self.by_iou.num_gt == 0:
            return None
        threshold = optimal_lrp(lrp_curve(self.by_iou, ANY_IOU)).threshold
        return None if np.isnan(threshold) else threshold

    def above(self, threshold: float | None) -> MatchedClass:
        """Return what scores at least the threshold; with None everything."""
        if threshold is None:
            return self
        return replace(
            self, by_iou=_above(self.by_iou, threshold), by_tp=_above(self.by_tp, threshold)
        )


def merge_classes(parts: Sequence[MatchedClass]) -> MatchedClass:
    """One class of several sets of images that have no image in common.

    Args:
        parts: The class in each of the sets; at least one.
    """
    by_iou = _merged([part.by_iou for part in parts])
    return MatchedClass(parts[0].name, by_iou, _merged([part.by_tp for part in parts]))


def _above(matches: ClassMatches, threshold: float) -> ClassMatches:
    kept = slice(int(np.count_nonzero(matches.scores >= threshold)))  # the best stand first
    return replace(
        matches,
        scores=matches.scores[kept],
        is_tp=matches.is_tp[kept],
        ious=matches.ious[kept],
        detection_ids=matches.detection_ids[kept],
    )


def _merged(parts: Sequence[ClassMatches]) -> ClassMatches:
    scores = np.concatenate([part.scores for part in parts])
    order = np.argsort(-scores, kind='stable')

    def in_order(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])[order]

    num_gt = sum(part.num_gt for part in parts)
    return ClassMatches(
        scores[order], in_order('is_tp'), in_order('ious'), in_order('detection_ids'), num_gt
    )
