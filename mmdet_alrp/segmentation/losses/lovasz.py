"""Lovasz hinge and Lovasz-Softmax losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor

from .base import SegmentationLoss, foreground_logits, mean_over
from .lovasz_extension import lovasz_extension


def lovasz_hinge(logits: Tensor, is_pos: Tensor, valid: Tensor) -> Tensor:
    """Lovasz hinge loss: the IoU of a foreground with a margin, mean over rows.

    Convention:
        A row is what one IoU is taken of, an image or a batch. One without a valid pixel is left
        out of the mean. One without foreground counts the largest hinge error of its pixels.

    Args:
        logits: Scores before the sigmoid, float32 or float64, shape (rows, pixels).
        is_pos: The foreground, bool, same shape.
        valid: Whether the pixel takes part, bool, same shape.

    Returns:
        The loss, a scalar.

    Reference:
        Berman et al., CVPR 2018, arXiv:1705.08790, Eq. 10.
    """
    counted = valid.any(1)
    return mean_over(lovasz_extension(logits, is_pos, valid, 1.0, counted), counted)


def lovasz_softmax(
    probs: Tensor,
    is_pos: Tensor,
    valid: Tensor,
    counted: Tensor | None = None,
    class_weight: Tensor | None = None,
) -> Tensor:
    """Lovasz-Softmax loss: mean over rows of the mean over classes.

    Convention:
        A row is what one IoU a class is taken of, an image or a batch. A class that counts without
        a pixel in the target costs its highest probability. A row in which no class counts, or
        without a valid pixel, is left out of the mean; if that leaves none the loss is 0.

    Args:
        probs: Probabilities of a softmax, or of one sigmoid a class, float32 or float64, shape
            (rows, C, pixels).
        is_pos: Whether the pixel is of the class, bool, same shape.
        valid: Whether the pixel takes part, bool, shape (rows, pixels).
        counted: Classes to average over, bool, shape (rows, C) or (C,); None takes those present
            in the row's target.
        class_weight: Factor on the loss of each class, before the mean, shape (C,).

    Returns:
        The loss, a scalar.

    Reference:
        Berman et al., CVPR 2018, arXiv:1705.08790, Eq. 11-12.
    """
    rows, classes, pixels = probs.shape
    if counted is None:
        counted = (is_pos & valid[:, None]).any(2)
    else:
        counted = counted.expand(rows, classes) & valid.any(1, keepdim=True)
    if rows > 1:
        valid = valid[:, None].expand_as(probs).reshape(-1, pixels)
    losses = lovasz_extension(
        probs.reshape(-1, pixels), is_pos.reshape(-1, pixels), valid, 0.0, counted.flatten()
    ).reshape(rows, classes)
    if class_weight is not None:
        losses = losses * class_weight
    return mean_over(mean_over(losses, counted), counted.any(1))


@MODELS.register_module()
class LovaszHingeLoss(SegmentationLoss):
    """Registered form of :func:`lovasz_hinge` for one channel, or background and foreground.

    The loss has no weights of pixels: one takes part unless its weight is 0.

    Args:
        per_image: Mean of one IoU an image; False for one of the whole batch.
        loss_weight: As :class:`SegmentationLoss`.
        loss_name: As :class:`SegmentationLoss`.
        **kwargs: ``ignore_index`` as :class:`SegmentationLoss`.
    """

    def __init__(
        self,
        per_image: bool = False,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_lovasz_hinge',
        **kwargs: Any,
    ) -> None:
        super().__init__(loss_weight, loss_name, **kwargs)
        self.per_image = per_image

    def compute(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the loss; arguments as the base class."""
        rows = len(pred) if self.per_image else 1
        logits = foreground_logits(pred, weight, type(self).__name__)
        maps = (logits, target == 1, weight > 0)
        return lovasz_hinge(*(m.reshape(rows, -1) for m in maps))


@MODELS.register_module()
class LovaszSoftmaxLoss(SegmentationLoss):
    """Registered form of :func:`lovasz_softmax`.

    The loss has no weights of pixels: one takes part unless its weight is 0.

    Args:
        classes: Classes to average over: those 'present' in the target, 'all', or a list of
            channels. With one channel and 'present', images without foreground teach nothing.
        per_image: Mean of one IoU an image; False for one of the whole batch.
        class_weight: Factor on the loss of each class, before the mean.
        use_sigmoid: One sigmoid a channel in place of the softmax.
        loss_weight: As :class:`SegmentationLoss`.
        loss_name: As :class:`SegmentationLoss`.
        **kwargs: ``ignore_index`` as :class:`SegmentationLoss`.

    Raises:
        ValueError: If ``classes`` is nothing of the above, or ``class_weight`` no list of finite
            numbers >= 0.
    """

    def __init__(
        self,
        classes: str | Sequence[int] = 'present',
        per_image: bool = False,
        class_weight: Sequence[float] | None = None,
        use_sigmoid: bool = False,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_lovasz_softmax',
        **kwargs: Any,
    ) -> None:
        super().__init__(loss_weight, loss_name, **kwargs)
        if not _is_channels(classes) and not (
            isinstance(classes, str) and classes in ('present', 'all')
        ):
            raise ValueError(
                f"classes must be 'present', 'all' or a list of different channels, got {classes!r}"
            )
        if class_weight is not None and not _are_weights(class_weight):
            raise ValueError(
                f'class_weight must be a list of finite numbers >= 0, got {class_weight!r}'
            )
        self.classes = classes if isinstance(classes, str) else tuple(classes)
        self.per_image = per_image
        self.use_sigmoid = use_sigmoid
        # Buffers move with the model: copying them in each step would wait for the device.
        listed = None if isinstance(classes, str) else torch.tensor(self.classes)
        self.register_buffer('listed', listed, persistent=False)
        if class_weight is not None:
            class_weight = torch.tensor(class_weight, dtype=torch.float32)
        self.register_buffer('class_weight', class_weight, persistent=False)

    def compute(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the loss; arguments as the base class."""
        channels = pred.shape[1]
        self._check_channels(channels)
        probs = pred.sigmoid() if self.use_sigmoid else pred.softmax(1)
        rows = len(pred) if self.per_image else 1
        if not self.per_image:
            probs = probs.transpose(0, 1)
        probs = probs.reshape(rows, channels, -1)
        target, valid = target.reshape(rows, 1, -1), weight.reshape(rows, -1) > 0
        labels = torch.arange(channels, device=pred.device)[:, None]
        is_pos = target == (labels if channels > 1 else 1)
        class_weight = self.class_weight
        if class_weight is not None:
            class_weight = class_weight.to(pred)
        return lovasz_softmax(probs, is_pos, valid, self._counted(labels), class_weight)

    def _counted(self, labels: Tensor) -> Tensor | None:
        if self.classes == 'present':
            return None
        if self.classes == 'all':
            return torch.ones_like(labels, dtype=torch.bool).squeeze(1)
        return (labels == self.listed.to(labels.device)).any(1)

    def _check_channels(self, channels: int) -> None:
        if channels == 1 and not self.use_sigmoid:
            raise ValueError(
                'the softmax of one channel is always 1: give LovaszSoftmaxLoss use_sigmoid=True, '
                'or take LovaszHingeLoss'
            )
        if self.class_weight is not None and len(self.class_weight) != channels:
            raise ValueError(
                f'class_weight must have one value per channel: expected {channels}, '
                f'got {len(self.class_weight)}'
            )
        if not isinstance(self.classes, str) and max(self.classes) >= channels:
            raise ValueError(f'classes must be channels below {channels}, got {self.classes}')


def _is_channels(classes: object) -> bool:
    if isinstance(classes, str) or not isinstance(classes, Sequence) or not classes:
        return False
    whole = all(type(channel) is int and channel >= 0 for channel in classes)
    return whole and len(set(classes)) == len(classes)


def _are_weights(values: object) -> bool:
    if isinstance(values, str) or not isinstance(values, Sequence):
        return False
    return all(isinstance(value, int | float) and 0 <= value < math.inf for value in values)
