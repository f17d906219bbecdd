"""Folders of images and masks as MMSegmentation reads them.

Their hook is left to :mod:`mmdet_alrp.registration`, because hooks take long to import.
"""

from .image_mask import ImageMaskDataset, ImageMaskError
from .judged_size import JudgeAtInputSize
from .saliency import LoadSaliencyMask, SaliencyDataset
from .semantic import CamVidDataset, ShapesSemanticDataset

__all__ = [
    'CamVidDataset',
    'ImageMaskDataset',
    'ImageMaskError',
    'JudgeAtInputSize',
    'LoadSaliencyMask',
    'SaliencyDataset',
    'ShapesSemanticDataset',
]
