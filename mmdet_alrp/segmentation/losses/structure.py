"""Structure loss of salient-object detection: weighted cross entropy and weighted IoU."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor
from torch.nn import functional

from .base import SegmentationLoss, mean_over
from .foreground import foreground_logits


def structure_loss(
    logits: Tensor,
    masks: Tensor,
    weight: Tensor | None = None,
    gamma: float = 5.0,
    window: int = 31,
    legacy_bce: bool = False,
) -> Tensor:
    """Cross entropy plus IoU loss, both with more weight on the outlines of the mask.

    Convention:
        Each of the two is a figure of an image, their sum is averaged over the images; one without
        any pixel of weight above 0 is left out, and without images the loss is 0. The cross entropy
        is normalised by the sum of the weights, as published code does and not the paper's formula.

    Args:
        logits: Scores before the sigmoid, floating point, shape (N, H, W).
        masks: Foreground in [0, 1], same dtype and shape.
        weight: Weight of each pixel, >= 0 with 0 for an ignored one, same dtype and shape.
        gamma: Weight of the outlines, above that of 1 that all pixels have.
        window: Edge of the square around a pixel that tells an outline, in pixels, odd.
        legacy_bce: Take the unweighted mean of the cross entropy over the batch: published training
            code does so, because it asks for a reduction that PyTorch reads as the mean.

    Returns:
        The loss, a scalar.

    Reference:
        Wei et al., AAAI 2020, arXiv:1911.11445, Eq. 3-6.
    """
    if weight is None:
        weight = torch.ones_like(masks)
    bce = functional.binary_cross_entropy_with_logits(logits, masks, reduction='none')
    probs = logits.sigmoid()
    outline = weight * (1 + gamma * outline_weight(masks, weight, window))
    space = (1, 2)
    counted = (weight > 0).any(2).any(1)
    if legacy_bce:
        cross_entropy = _ratio((weight * bce).sum(), weight.sum())
    else:
        cross_entropy = _ratio((outline * bce).sum(space), outline.sum(space))
    intersection = (outline * probs * masks).sum(space)
    union = (outline * (probs + masks - probs * masks)).sum(space)
    iou_loss = 1 - (intersection + 1) / (union + 1)
    return mean_over(cross_entropy + iou_loss, counted)


def outline_weight(masks: Tensor, weight: Tensor, window: int) -> Tensor:
    """How much each pixel differs from the mean of those around it, in [0, 1].

    Outside the image counts as background, as in published code; pixels of weight 0 do not count.

    Args:
        masks: Foreground in [0, 1], floating point, shape (N, H, W).
        weight: Weight of each pixel, same shape; only whether it is 0 matters.
        window: Edge of the square around a pixel, in pixels, odd.
    """
    ignored = (weight == 0).to(masks.dtype)
    # Two strips average as the square does, for far fewer additions.
    maps = torch.stack((masks * (1 - ignored), ignored), 1)
    half = window // 2
    maps = functional.avg_pool2d(maps, (window, 1), stride=1, padding=(half, 0))
    maps = functional.avg_pool2d(maps, (1, window), stride=1, padding=(0, half))
    foreground, share_ignored = maps.unbind(1)
    # A pixel that is not ignored has itself around it; others are never looked at.
    share = (1 - share_ignored).clamp(min=0.5 / window**2)
    return (foreground / share - masks).abs()


def _ratio(top: Tensor, bottom: Tensor) -> Tensor:
    return top / bottom.masked_fill(bottom == 0, 1)


@MODELS.register_module(force=True)
class StructureLoss(SegmentationLoss):
    """Registered form of :func:`structure_loss` for one channel, or background and foreground.

    Args:
        gamma: Weight of the outlines, above that of 1 that all pixels have.
        window: Edge of the square that tells an outline, in pixels, odd.
        legacy_bce: Take the unweighted cross entropy of published training code.
        loss_weight: As :class:`SegmentationLoss`.
        loss_name: As :class:`SegmentationLoss`.
        **kwargs: ``ignore_index``, ``class_weight`` and ``output_weight`` as
            :class:`SegmentationLoss`.

    Raises:
        ValueError: If ``gamma`` is negative or ``window`` is not a positive odd number.
    """

    soft_targets = True
    spatial_dims = 2

    def __init__(
        self,
        gamma: float = 5.0,
        window: int = 31,
        legacy_bce: bool = False,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_structure',
        **kwargs: Any,
    ) -> None:
        super().__init__(loss_weight, loss_name, **kwargs)
        if not 0 <= gamma < float('inf'):
            raise ValueError(f'gamma must be a finite number >= 0, got {gamma}')
        if window != int(window) or window < 1 or window % 2 == 0:
            raise ValueError(f'window must be a positive odd number of pixels, got {window}')
        self.gamma = gamma
        self.window = int(window)
        self.legacy_bce = legacy_bce

    def compute(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the loss; arguments as the base class."""
        logits = foreground_logits(pred, type(self).__name__)
        masks = target.to(logits.dtype)
        return structure_loss(logits, masks, weight, self.gamma, self.window, self.legacy_bce)
