"""Batches of one size that changes from batch to batch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from mmengine.dataset import pseudo_collate
from mmengine.registry import FUNCTIONS
from mmengine.structures import PixelData
from torch import Tensor
from torch.nn import functional


@FUNCTIONS.register_module(force=True)
def multi_size_collate(data_batch: Sequence[dict[str, Any]], sizes: Sequence[int]) -> Any:
    """Bring the images of a batch, and their masks, to a square whose size is drawn.

    For a data loader of MMEngine: ``collate_fn=dict(type='multi_size_collate', sizes=[...])``. Of
    several processes each draws for itself.

    Args:
        data_batch: Samples with ``inputs``, an image (C, H, W), and in ``data_samples`` the mask
            ``gt_sem_seg`` (1, H, W). Images, and masks in floating point, are interpolated
            linearly, labels take the nearest; an image becomes float32.
        sizes: Edges to draw from, in pixels, all as likely.

    Returns:
        The batch as MMEngine's ``pseudo_collate`` has it.
    """
    side = random.choice(list(sizes))
    batch = []
    for sample in data_batch:
        truth = sample['data_samples'].clone()
        mask = truth.gt_sem_seg.data
        resized = _resize(mask, side, 'bilinear' if mask.is_floating_point() else 'nearest-exact')
        truth.gt_sem_seg = PixelData(data=resized.to(mask.dtype))
        truth.set_metainfo({'img_shape': (side, side)})
        image = _resize(sample['inputs'], side, 'bilinear')
        batch.append({**sample, 'inputs': image, 'data_samples': truth})
    return pseudo_collate(batch)


def _resize(image: Tensor, side: int, mode: str) -> Tensor:
    """Resize (C, H, W) to float32 (C, side, side)."""
    options = {'align_corners': False} if mode == 'bilinear' else {}
    return functional.interpolate(image[None].float(), (side, side), mode=mode, **options)[0]
