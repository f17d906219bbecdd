"""Segmentation metrics over a data set."""

from .boundary import boundary_counts, boundary_metrics
from .boundary_metric import BoundaryMetric
from .region import class_counts, confusion_matrix, region_metrics, segmentation_metrics
from .region_metric import RegionMetric
from .saliency import average_scores, saliency_metrics, saliency_scores
from .sod_curves import curves_of, load_curves, save_curve_plots, save_curves
from .sod_metric import SODMetric

__all__ = [
    'BoundaryMetric',
    'RegionMetric',
    'SODMetric',
    'average_scores',
    'boundary_counts',
    'boundary_metrics',
    'class_counts',
    'confusion_matrix',
    'curves_of',
    'load_curves',
    'region_metrics',
    'saliency_metrics',
    'saliency_scores',
    'save_curve_plots',
    'save_curves',
    'segmentation_metrics',
]
