"""Searched parameters that were published, by name."""

from __future__ import annotations

from .surrogate_parameters import SurrogateParameters

# Control points x, y; a line each for the curve of the AND and of the OR.
_MIOU = (
    (5.6973e-4, 0.64372, 0.33859, 0.70554, 0.62528, 0.77955),
    (0.69038, 0.013063, 0.83417, 0.96243, 0.94300, 0.98004),
)
_FWIOU = (
    (3.6539e-4, 0.98417, 0.96949, 0.99234, 0.98833, 0.99555),
    (0.35461, 0.26722, 0.56055, 0.43529, 0.56543, 0.60145),
)
_ACCURACY = ((0.021454, 0.73906, 0.41163, 0.79866, 0.91986, 0.95041),)

_FOUND = {'mIoU': _MIOU, 'FWIoU': _FWIOU, 'BIoU': _FWIOU, 'mAcc': _ACCURACY, 'gAcc': _ACCURACY}

PUBLISHED = {
    f'voc_{metric.lower()}': SurrogateParameters(
        metric, control_points=[value for curve in curves for value in curve]
    )
    for metric, curves in _FOUND.items()
}
"""Two Bezier segments a function, searched on PASCAL VOC 2012; none is published for BF1.

Li et al., ICLR 2021, arXiv:2010.07930, and its released configurations.
"""
