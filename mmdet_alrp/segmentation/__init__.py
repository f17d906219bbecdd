"""Losses and metrics for salient-object and semantic segmentation.

They stand in MMEngine's root registries, where MMSegmentation, MMDetection and plain MMEngine find
them by name. It needs neither MMSegmentation nor MMDetection;
the data sets, in :mod:`mmdet_alrp.segmentation.datasets`, need mmcv, which reads their images.
"""

from mmdet_alrp.segmentation import evaluation, losses

__all__ = ['evaluation', 'losses']
