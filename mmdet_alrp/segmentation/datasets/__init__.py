"""Folders of images and masks as MMSegmentation reads them."""

from .image_mask import ImageMaskDataset, ImageMaskError
from .mask_check_hook import MaskCheckHook
from .saliency import LoadSaliencyMask, SaliencyDataset
from .semantic import CamVidDataset, ShapesSemanticDataset

__all__ = [
    'CamVidDataset',
    'ImageMaskDataset',
    'ImageMaskError',
    'LoadSaliencyMask',
    'MaskCheckHook',
    'SaliencyDataset',
    'ShapesSemanticDataset',
]
