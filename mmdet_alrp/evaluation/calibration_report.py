"""Calibration errors of a whole set of detections.

Reference:
    Kuzucu, Oksuz et al., On Calibration of Object Detectors, ECCV 2024, arXiv:2405.20459: LaECE_0,
    LaACE_0. D-ECE: Kueppers et al., Multivariate Confidence Calibration for Object Detection,
    CVPR Workshops 2020, with the score as the only dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .calibration_errors import (
    IOU_BINS,
    TP_BINS,
    ReliabilityBins,
    absolute_calibration_error,
    expected_calibration_error,
    reliability_bins,
)
from .matched_classes import MatchedClass


@dataclass(frozen=True)
class ClassCalibration:
    """Calibration of one class; errors are NaN without a detection.

    Args:
        name: Class name, unique within a report.
        bins: Scores and IoUs of its detections in 25 bins.
        laece: LaECE_0 of the class.
        laace: LaACE_0 of the class.
    """

    name: str
    bins: ReliabilityBins
    laece: float
    laace: float


@dataclass(frozen=True)
class CalibrationReport:
    """Calibration of the detections that survive the threshold of their class.

    Args:
        classes: One a class.
        d_ece: D-ECE, of all classes together.
    """

    classes: tuple[ClassCalibration, ...]
    d_ece: float

    def summary(self) -> dict[str, float]:
        """Return ``LaECE_0`` and ``LaACE_0``, means over the classes detected, and ``D_ECE``."""
        found = [c for c in self.classes if c.bins.counts.any()]
        return {
            'LaECE_0': float(np.mean([c.laece for c in found])) if found else float('nan'),
            'LaACE_0': float(np.mean([c.laace for c in found])) if found else float('nan'),
            'D_ECE': self.d_ece,
        }

    def all_bins(self) -> ReliabilityBins:
        """Return the bins of all classes together."""
        return ReliabilityBins(
            sum(c.bins.counts for c in self.classes),
            sum(c.bins.score_sums for c in self.classes),
            sum(c.bins.target_sums for c in self.classes),
        )


def calibration_report(classes: Sequence[MatchedClass]) -> CalibrationReport:
    """Judge scores against IoUs.

    Args:
        classes: What is judged: what survives thresholds, see :meth:`MatchedClass.above`.

    Returns:
        The errors, unrounded.

    Raises:
        ValueError: If a score is outside [0, 1].
    """
    for c in classes:
        if len(c.by_iou.scores) and not (c.by_iou.scores[-1] >= 0 and c.by_iou.scores[0] <= 1):
            raise ValueError(
                f'calibration needs scores in [0, 1]; those of {c.name!r} run from '
                f'{c.by_iou.scores[-1]:g} to {c.by_iou.scores[0]:g}'
            )
    scores = np.concatenate([c.by_tp.scores for c in classes] or [np.zeros(0)])
    is_tp = np.concatenate([c.by_tp.is_tp for c in classes] or [np.zeros(0)])
    return CalibrationReport(
        tuple(_class_calibration(c) for c in classes),
        expected_calibration_error(scores, is_tp, TP_BINS),
    )


def _class_calibration(c: MatchedClass) -> ClassCalibration:
    scores, ious = c.by_iou.scores, c.by_iou.ious
    bins = reliability_bins(scores, ious, IOU_BINS)
    return ClassCalibration(c.name, bins, bins.error(), absolute_calibration_error(scores, ious))
