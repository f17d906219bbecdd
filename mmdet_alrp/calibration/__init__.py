"""Maps from scores to the IoU that is to be expected, and the errors that they mend."""

from importlib.util import find_spec

from mmdet_alrp.evaluation.calibration_report import calibration_report
from mmdet_alrp.evaluation.matched_classes import MatchedClass

from .calibration_files import read_calibration, write_calibration
from .calibrators import METHODS, Knots, fit_knots
from .fitting import Calibration, CalibrationError, ClassMap, cross_fit, fit_calibration
from .matching import calibrate_detections, match_classes

__all__ = [
    'METHODS',
    'Calibration',
    'CalibrationError',
    'ClassMap',
    'Knots',
    'MatchedClass',
    'calibrate_detections',
    'calibration_report',
    'cross_fit',
    'fit_calibration',
    'fit_knots',
    'match_classes',
    'read_calibration',
    'write_calibration',
]

if find_spec('torch') is not None:
    from .score_map import ScoreMap

    __all__ += ['ScoreMap']
