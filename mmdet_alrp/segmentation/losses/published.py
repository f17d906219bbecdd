"""Searched parameters that were published, by name."""

from __future__ import annotations

from .surrogate_parameters import SurrogateParameters

# Control points x, y; a line a curve, those of ANDs before those of ORs.
_MIOU = (
    (5.6973e-4, 0.64372, 0.33859, 0.70554, 0.62528, 0.77955),
    (0.69038, 0.013063, 0.83417, 0.96243, 0.94300, 0.98004),
)
_FWIOU = (
    (3.6539e-4, 0.98417, 0.96949, 0.99234, 0.98833, 0.99555),
    (0.35461, 0.26722, 0.56055, 0.43529, 0.56543, 0.60145),
)
_ACCURACY = ((0.021454, 0.73906, 0.41163, 0.79866, 0.91986, 0.95041),)
_BF1 = (
    (0.8113003, 0.8526163),
    (0.1716458, 0.0316480),
    (0.2099739, 0.4490329),
    (0.0784752, 0.8753038),
)

_FOUND = {
    'mIoU': _MIOU,
    'FWIoU': _FWIOU,
    'BIoU': _FWIOU,
    'BF1': _BF1,
    'mAcc': _ACCURACY,
    'gAcc': _ACCURACY,
}

PUBLISHED = {
    f'voc_{metric.lower()}': SurrogateParameters(
        metric,
        control_points=[value for curve in curves for value in curve],
        segments=(len(curves[0]) + 2) // 4,
    )
    for metric, curves in _FOUND.items()
}
"""Two Bezier segments a function, for BF1 one, searched on PASCAL VOC 2012.

Li et al., ICLR 2021, arXiv:2010.07930, and its released configurations.
"""
