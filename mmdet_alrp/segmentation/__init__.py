"""Losses and metrics for salient-object and semantic segmentation.

Importing this package registers them in MMEngine's root registries, where MMSegmentation,
MMDetection and plain MMEngine find them by name. It needs neither MMSegmentation nor MMDetection.
"""

from mmdet_alrp.segmentation import datasets, evaluation, losses

__all__ = ['datasets', 'evaluation', 'losses']
