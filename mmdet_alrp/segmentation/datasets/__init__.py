"""Folders of images and masks as MMSegmentation reads them.

Their hook, in ``mask_check_hook``, is not imported here: MMEngine's hooks take long to import.
"""

from .image_mask import ImageMaskDataset, ImageMaskError
from .judged_size import JudgeAtInputSize
from .multi_size import multi_size_collate
from .saliency import LoadSaliencyMask, PackSaliencyInputs, SaliencyDataset
from .semantic import CamVidDataset, ShapesSemanticDataset

__all__ = [
    'CamVidDataset',
    'ImageMaskDataset',
    'ImageMaskError',
    'JudgeAtInputSize',
    'LoadSaliencyMask',
    'PackSaliencyInputs',
    'SaliencyDataset',
    'ShapesSemanticDataset',
    'multi_size_collate',
]
