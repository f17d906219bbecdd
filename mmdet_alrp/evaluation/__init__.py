"""AP and oLRP evaluation; the registered metric is there when MMDetection is installed."""

from importlib.util import find_spec

from .bounds import correlation_bounds
from .calibration_errors import absolute_calibration_error, expected_calibration_error
from .calibration_report import CalibrationReport, ClassCalibration
from .coco_matching import load_detections
from .lrp import ClassReport, LRPReport, evaluate_lrp
from .lrp_curve import LRPCurve, OptimalLRP, lrp_curve, optimal_lrp, rank_correlation

__all__ = [
    'CalibrationReport',
    'ClassCalibration',
    'ClassReport',
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

if all(find_spec(name) is not None for name in ('torch', 'mmengine', 'mmcv', 'mmdet')):
    from mmdet_alrp import fitting_stack  # noqa: F401

    from .coco_lrp_metric import CocoLRPMetric

    __all__ += ['CocoLRPMetric']
