"""AP and oLRP evaluation. `CocoLRPMetric`, the registered metric, needs MMDetection."""

from typing import TYPE_CHECKING

from mmdet_alrp.late_imports import late_import

from .bounds import correlation_bounds
from .calibration_errors import absolute_calibration_error, expected_calibration_error
from .calibration_report import CalibrationReport, ClassCalibration
from .coco_matching import load_detections
from .lrp import ClassReport, LRPReport, evaluate_lrp
from .lrp_curve import LRPCurve, OptimalLRP, lrp_curve, optimal_lrp, rank_correlation

if TYPE_CHECKING:
    from .coco_lrp_metric import CocoLRPMetric

__all__ = [
    'CalibrationReport',
    'ClassCalibration',
    'ClassReport',
    'CocoLRPMetric',
    'LRPCurve',
    'LRPReport',
    'OptimalLRP',
    'absolute_calibration_error',
    'correlation_bounds',
    'evaluate_lrp',
    'expected_calibration_error',
    'load_detections',
    'lrp_curve',
    'optimal_lrp',
    'rank_correlation',
]

__getattr__ = late_import(__name__, CocoLRPMetric='coco_lrp_metric')
