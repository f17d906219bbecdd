"""Maps from scores to the IoU that is to be expected, and the errors that they mend."""

from mmdet_alrp.evaluation.calibration_report import calibration_report
from mmdet_alrp.evaluation.matched_classes import MatchedClass

from .matching import match_classes

__all__ = ['MatchedClass', 'calibration_report', 'match_classes']
