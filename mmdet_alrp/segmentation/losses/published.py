"""Searched parameters that were published, by name."""

from __future__ import annotations

from .surrogate_parameters import SurrogateParameters

# Control points x, y; a line a curve, those of ANDs before those of ORs.
_MIOU = (
    (5.69728440e-4, 0.643720450, 0.338589169, 0.705543360, 0.625281252, 0.779551927),
    (0.690375570, 0.0130628900, 0.834170515, 0.962431815, 0.942998269, 0.980038125),
)
_FWIOU = (
    (3.65390355e-4, 0.984171689, 0.969491959, 0.992340326, 0.988328516, 0.995552719),
    (0.354609758, 0.267221928, 0.560551465, 0.435290039, 0.565432191, 0.601448298),
)
_ACCURACY = ((0.021453928, 0.73905742, 0.41163361, 0.79865617, 0.91986191, 0.95041156),)
_BF1 = (
    (0.8113003373146057, 0.8526162505149841),
    (0.17164576053619385, 0.03164796531200409),
    (0.20997394621372223, 0.44903290271759033),
    (0.07847517728805542, 0.8753038048744202),
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

Li et al., ICLR 2021, arXiv:2010.07930; the digits are those of its released configs for retraining.
"""
