"""Segmentation losses that are the metric, or close to it."""

from .auto_seg_loss import AutoSegLoss
from .base import SegmentationLoss
from .f_measure import FMeasureLoss, f_measure_loss
from .lovasz import LovaszHingeLoss, LovaszSoftmaxLoss, lovasz_hinge, lovasz_softmax
from .published import PUBLISHED
from .structure import StructureLoss, structure_loss
from .surrogate_files import (
    parameters_to_dict,
    read_all_parameters,
    read_parameters,
    write_parameters,
)
from .surrogate_parameters import SurrogateParameters, num_parameters

__all__ = [
    'PUBLISHED',
    'AutoSegLoss',
    'FMeasureLoss',
    'LovaszHingeLoss',
    'LovaszSoftmaxLoss',
    'SegmentationLoss',
    'StructureLoss',
    'SurrogateParameters',
    'f_measure_loss',
    'lovasz_hinge',
    'lovasz_softmax',
    'num_parameters',
    'parameters_to_dict',
    'read_all_parameters',
    'read_parameters',
    'structure_loss',
    'write_parameters',
]
