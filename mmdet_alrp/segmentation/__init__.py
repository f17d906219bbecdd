"""Losses and metrics for salient-object and semantic segmentation.

Importing this package registers them in MMEngine's root registries, where MMSegmentation,
MMDetection and plain MMEngine find them by name. It needs neither MMSegmentation nor MMDetection;
the data sets are there where mmcv is, which reads their images.
"""

from mmdet_alrp.compatibility import is_importable
from mmdet_alrp.segmentation import evaluation, losses

__all__ = ['evaluation', 'losses']

if is_importable('mmcv'):
    from mmdet_alrp.segmentation import datasets

    __all__ += ['datasets']
