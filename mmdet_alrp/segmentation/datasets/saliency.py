"""Salient-object data sets: images, and masks that are white where the object is."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmcv.image import imfrombytes
from mmcv.transforms import BaseTransform
from mmengine.fileio import get
from mmengine.registry import DATASETS, TRANSFORMS
from mmengine.structures import PixelData

from .image_mask import ImageMaskDataset, ImageMaskError


@DATASETS.register_module(force=True)
class SaliencyDataset(ImageMaskDataset):
    """Images and grey masks of salient objects: DUTS, ECSSD, PASCAL-S, HKU-IS, MSRA-B and others.

    Load the masks with :class:`LoadSaliencyMask`; MMSegmentation's ``LoadAnnotations`` would take
    their 255 for the label to be ignored.
    """

    METAINFO = {  # noqa: RUF012 - the form that MMEngine's data sets have
        'classes': ('background', 'salient'),
        'palette': [(0, 0, 0), (255, 255, 255)],
    }


@TRANSFORMS.register_module(force=True)
class LoadSaliencyMask(BaseTransform):
    """Load the mask of an image as labels: 1 where it is bright, 0 elsewhere.

    Takes ``seg_map_path``; adds ``gt_seg_map``, uint8, shape (height, width), and its name to
    ``seg_fields``; with ``soft`` the grey levels divided by 255, float32, for a loss that takes
    soft masks and a pipeline that ends with :class:`PackSaliencyInputs`. Masks may be grey,
    coloured or have an alpha channel, which is left out.

    Args:
        threshold: Grey level from which a pixel is salient, 1 to 255. Published evaluations take
            those above 128.
        soft: Keep grey levels, as shares of 255, in place of 0 and 1.
        backend_args: MMEngine's file backend; None is the disk.

    Raises:
        ValueError: If ``threshold`` is not a grey level above 0.
    """

    def __init__(
        self, threshold: int = 129, backend_args: dict | None = None, soft: bool = False
    ) -> None:
        if not 1 <= threshold <= 255:
            raise ValueError(f'threshold must be a grey level from 1 to 255, got {threshold}')
        self.threshold = threshold
        self.soft = soft
        self.backend_args = backend_args

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the mask.

        Args:
            results: What is known of the image; changed in place.

        Raises:
            ImageMaskError: If the mask cannot be read, has another size than the image, or its
                brightest pixel is darker than ``threshold`` without being black.
        """
        path = results['seg_map_path']
        content = get(path, backend_args=self.backend_args)
        grey = imfrombytes(content, flag='grayscale', backend='cv2')
        if grey is None:
            raise ImageMaskError(f'{path} is no image that can be read')
        if 'ori_shape' in results and grey.shape != tuple(results['ori_shape'][:2]):
            raise ImageMaskError(
                f'{path} is {grey.shape[1]}x{grey.shape[0]}, its image '
                f'{results["ori_shape"][1]}x{results["ori_shape"][0]}'
            )
        if 0 < grey.max() < self.threshold:
            raise ImageMaskError(
                f'{path} holds nothing brighter than {grey.max()}: a salient pixel must be at '
                f'least {self.threshold}; give LoadSaliencyMask a threshold that fits'
            )
        if self.soft:
            results['gt_seg_map'] = grey.astype(np.float32) / 255
        else:
            results['gt_seg_map'] = (grey >= self.threshold).astype(np.uint8)
        results.setdefault('seg_fields', []).append('gt_seg_map')
        return results

    def __repr__(self) -> str:
        """Return the transform as it is written in a config."""
        return f'{type(self).__name__}(threshold={self.threshold}, soft={self.soft})'


@TRANSFORMS.register_module(force=True)
class PackSaliencyInputs(BaseTransform):
    """MMSegmentation's ``PackSegInputs``, but soft masks are not rounded to whole numbers.

    Args:
        **kwargs: Arguments of ``PackSegInputs``.
    """

    def __init__(self, **kwargs: Any) -> None:
        self.pack = TRANSFORMS.build({'type': 'mmseg.PackSegInputs', **kwargs})

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Pack an image and its mask, which has shape (1, height, width) and keeps its dtype.

        Args:
            results: ``img`` and ``gt_seg_map``, shape (height, width).
        """
        packed = self.pack(results)
        mask = torch.from_numpy(np.ascontiguousarray(results['gt_seg_map']))
        packed['data_samples'].gt_sem_seg = PixelData(data=mask[None])
        return packed
