"""Maps from scores to the IoU that is to be expected, and the errors that they mend.

`ScoreMap`, the maps as a module, needs torch.
"""

from typing import TYPE_CHECKING

from mmdet_alrp.evaluation.calibration_report import calibration_report
from mmdet_alrp.evaluation.matched_classes import MatchedClass
from mmdet_alrp.late_imports import late_import

from .calibration_files import read_calibration, write_calibration
from .calibrators import METHODS, Knots, fit_knots
from .fitting import Calibration, CalibrationError, ClassMap, cross_fit, fit_calibration
from .matching import calibrate_detections, match_classes

if TYPE_CHECKING:
    from .score_map import ScoreMap

__all__ = [
    'METHODS',
    'Calibration',
    'CalibrationError',
    'ClassMap',
    'Knots',
    'MatchedClass',
    'ScoreMap',
    'calibrate_detections',
    'calibration_report',
    'cross_fit',
    'fit_calibration',
    'fit_knots',
    'match_classes',
    'read_calibration',
    'write_calibration',
]

__getattr__ = late_import(__name__, needed=(), ScoreMap='score_map')
