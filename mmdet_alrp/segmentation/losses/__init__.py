"""Segmentation losses that are the metric, or close to it."""

from .base import SegmentationLoss
from .f_measure import FMeasureLoss, f_measure_loss
from .lovasz import LovaszHingeLoss, LovaszSoftmaxLoss, lovasz_hinge, lovasz_softmax
from .structure import StructureLoss, structure_loss

__all__ = [
    'FMeasureLoss',
    'LovaszHingeLoss',
    'LovaszSoftmaxLoss',
    'SegmentationLoss',
    'StructureLoss',
    'f_measure_loss',
    'lovasz_hinge',
    'lovasz_softmax',
    'structure_loss',
]
