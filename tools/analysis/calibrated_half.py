"""Detections calibrated on one half of the images and judged on the other."""

from __future__ import annotations

from dataclasses import dataclass

from pycocotools.coco import COCO

from mmdet_alrp.calibration import (
    Calibration,
    calibrate_detections,
    fit_calibration,
    match_classes,
)
from mmdet_alrp.evaluation import CalibrationReport
from mmdet_alrp.evaluation.coco_matching import subset_of


@dataclass(frozen=True)
class CalibratedHalf:
    """What came out for the half that nothing was fitted to.

    Args:
        calibration: Fitted to the other half.
        truth: Ground truth of this half.
        raw: Its detections as they were, as COCO annotations.
        calibrated: The same detections with expected IoUs as scores.
        before: Errors of the raw scores above the thresholds of the other half.
        after: Errors of the calibrated scores, likewise.
    """

    calibration: Calibration
    truth: COCO
    raw: list[dict]
    calibrated: list[dict]
    before: CalibrationReport
    after: CalibrationReport

    def thresholds(self) -> dict[str, float | None]:
        """Thresholds of the calibrated scores by class name."""
        return {name: own.threshold for name, own in self.calibration.classes.items()}


def calibrate_half(coco_gt: COCO, coco_dt: COCO, method: str = 'isotonic') -> CalibratedHalf:
    """Fit to every second image, in the order of their ids, and judge on the rest.

    Args:
        coco_gt: Ground truth.
        coco_dt: Detections with boxes.
        method: Calibrator.

    Raises:
        CalibrationError: If nothing was detected in the images to fit to.
    """
    fitted_ids, judged_ids = (sorted(coco_gt.imgs)[start::2] for start in (0, 1))
    calibration = fit_calibration(match_classes(coco_gt, coco_dt, img_ids=fitted_ids), method)
    raw = subset_of(coco_dt, judged_ids).dataset['annotations']
    return CalibratedHalf(
        calibration,
        subset_of(coco_gt, judged_ids),
        raw,
        calibrate_detections(calibration, raw, coco_gt),
        *calibration.judged(match_classes(coco_gt, coco_dt, img_ids=judged_ids)),
    )
