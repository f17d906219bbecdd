"""Fits a map for every class, with thresholds before and after it, and says how good it is.

Reference:
    Kuzucu, Oksuz et al., On Calibration of Object Detectors, ECCV 2024, arXiv:2405.20459: first
    thresholds, calibrator, second thresholds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mmdet_alrp.evaluation.calibration_report import CalibrationReport, calibration_report
from mmdet_alrp.evaluation.matched_classes import MatchedClass, merge_classes

from .calibrators import Knots, fit_knots

MIN_DETECTIONS = 20  # of a class; one with fewer gets the map of all classes


class CalibrationError(ValueError):
    """A calibration that cannot be fitted or used; the message is one line for the user."""


@dataclass(frozen=True)
class ClassMap:
    """The map of one class.

    Args:
        num_detections: Detections that it was fitted to, or was to be.
        knots: None where there were too few: the map of all classes is taken.
        raw_threshold: LRP-optimal score at tau = 0, before the map; None without a detection that
            belongs to an object.
        threshold: The same after the map.
    """

    num_detections: int
    knots: Knots | None
    raw_threshold: float | None
    threshold: float | None


UNSEEN = ClassMap(0, None, None, None)  # of a class that was not there: nothing of it is dropped


@dataclass(frozen=True)
class Calibration:
    """Maps from scores to expected IoUs.

    Args:
        method: Name of the calibrator.
        iou_type: ``'bbox'`` or ``'segm'``: which IoU is expected.
        shared: Fitted to the detections of all classes.
        classes: By class name.
        errors: LaECE_0, LaACE_0 and D_ECE: ``before``, ``after`` (on the images that the maps were
            fitted to) and, where it was asked for, ``cross_fitted``.
    """

    method: str
    iou_type: str
    shared: Knots
    classes: dict[str, ClassMap]
    errors: dict[str, dict[str, float]] = field(default_factory=dict)

    def knots_of(self, name: str) -> Knots:
        """Return the map of a class: its own or that of all classes."""
        return self.classes.get(name, UNSEEN).knots or self.shared

    def applied(self, c: MatchedClass) -> MatchedClass:
        """Return what of a class survives the first threshold, the map and the second threshold."""
        own = self.classes.get(c.name, UNSEEN)
        return self.mapped(c.above(own.raw_threshold)).above(own.threshold)

    def mapped(self, c: MatchedClass) -> MatchedClass:
        """Return a class with expected IoUs as scores."""
        knots = self.knots_of(c.name)
        by_iou, by_tp = (replace(m, scores=knots(m.scores)) for m in (c.by_iou, c.by_tp))
        return replace(c, by_iou=by_iou, by_tp=by_tp)

    def judged(
        self, classes: Sequence[MatchedClass]
    ) -> tuple[CalibrationReport, CalibrationReport]:
        """Judge detections before and after.

        Args:
            classes: Detections with raw scores, none of them dropped.

        Returns:
            Reports on what survives the first thresholds, with raw scores, and on what of it
            survives the second ones, with calibrated scores.
        """
        before = [c.above(self.classes.get(c.name, UNSEEN).raw_threshold) for c in classes]
        return calibration_report(before), calibration_report([self.applied(c) for c in classes])


def fit_calibration(
    classes: Sequence[MatchedClass],
    method: str = 'isotonic',
    class_agnostic: bool = False,
    iou_type: str = 'bbox',
) -> Calibration:
    """Fit maps from scores to expected IoUs, one to each class.

    Args:
        classes: Detections of held-out images.
        method: 'isotonic', 'platt', 'linear' or 'temperature'.
        class_agnostic: Whether all classes get one map.
        iou_type: Kind of the IoUs of ``classes``.

    Raises:
        CalibrationError: If there is no detection.
        ValueError: If the method is unknown or a score is outside [0, 1].
        ModuleNotFoundError: If the method is isotonic and scikit-learn is not installed.
    """
    raw = {c.name: c.optimal_threshold() for c in classes}
    kept = [c.above(raw[c.name]) for c in classes]
    if not any(len(c.by_iou.scores) for c in kept):
        raise CalibrationError('there is no detection to calibrate: nothing to fit')
    calibration_report(kept)  # looks at the range of the scores
    shared = fit_knots(
        np.concatenate([c.by_iou.scores for c in kept]),
        np.concatenate([c.by_iou.ious for c in kept]),
        method,
    )
    maps = {}
    for c in kept:
        count = len(c.by_iou.scores)
        own = None
        if count >= MIN_DETECTIONS and not class_agnostic:
            own = fit_knots(c.by_iou.scores, c.by_iou.ious, method)
        maps[c.name] = ClassMap(count, own, raw[c.name], None)
    first = Calibration(method, iou_type, shared, maps)
    for c in kept:
        threshold = _rounded_down(first.mapped(c).optimal_threshold())
        maps[c.name] = replace(maps[c.name], threshold=threshold)
    calibration = replace(first, classes=maps)
    before, after = (report.summary() for report in calibration.judged(classes))
    return replace(calibration, errors={'before': before, 'after': after})


def cross_fit(
    folds: Sequence[Sequence[MatchedClass]],
    method: str = 'isotonic',
    class_agnostic: bool = False,
) -> CalibrationReport:
    """Judge every image with maps and thresholds that were fitted to the other folds.

    Args:
        folds: The classes, in one order, of each part of the images; at least two.
        method: 'isotonic', 'platt', 'linear' or 'temperature'.
        class_agnostic: Fit one map to all classes together instead of one to each.

    Returns:
        Report on the calibrated detections of all folds together.

    Raises:
        CalibrationError: If the other folds of one have no detection.
    """
    held_out = []
    for index, fold in enumerate(folds):
        others = [classes for other, classes in enumerate(folds) if other != index]
        fitted = fit_calibration(merged(others), method, class_agnostic)
        held_out.append([fitted.applied(c) for c in fold])
    return calibration_report(merged(held_out))


def merged(parts: Sequence[Sequence[MatchedClass]]) -> list[MatchedClass]:
    """Put the classes of several parts of the images together.

    Args:
        parts: The classes, in one order, of each part.
    """
    return [merge_classes(same) for same in zip(*parts, strict=True)]


def _rounded_down(threshold: float | None) -> float | None:
    """Threshold that the same map in single precision reaches, too."""
    return None if threshold is None else math.floor(threshold * 1e5) / 1e5
