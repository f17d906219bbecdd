"""Judging predictions at the size that the net sees, instead of that of the original image."""

from __future__ import annotations

from typing import Any

from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS


@TRANSFORMS.register_module(force=True)
class JudgeAtInputSize(BaseTransform):
    """Have predictions judged at the size of the input, as a loss in training judges them.

    Usually the mask is loaded after ``Resize``, and MMSegmentation resizes the logits to
    ``ori_shape``, the size of the original image. The tolerance of a boundary metric is then
    another one than that of the loss. This transform sets ``ori_shape`` to the size that the image
    has by then. It stands behind all transforms that change the size, ``LoadAnnotations`` before
    them, as in the searches for VOC and Cityscapes.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Set the size.

        Args:
            results: ``img``, shape (height, width, channels), and ``gt_seg_map``, shape (height,
                width); changed in place.

        Raises:
            ValueError: If there is no mask, or it has another size than the image.
        """
        mask, size = results.get('gt_seg_map'), results['img'].shape[:2]
        if mask is None or mask.shape != size:
            found = 'no mask' if mask is None else f'a mask of {mask.shape[1]}x{mask.shape[0]}'
            raise ValueError(
                f'JudgeAtInputSize: the image is {size[1]}x{size[0]} and has {found}; load the '
                'mask before Resize and the other transforms that change the size'
            )
        results['ori_shape'] = size
        return results
