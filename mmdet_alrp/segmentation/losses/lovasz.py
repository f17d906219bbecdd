"""Lovasz hinge and Lovasz-Softmax losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor

from .base import SegmentationLoss, mean_over
from .foreground import foreground_logits
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
        valid: Whether the pixel takes part, bool, shape (rows, pixels), or (rows, C, pixels) where
            that differs between the classes.
        counted: Classes to average over, bool, shape (rows, C) or (C,); None takes those present
            in the row's target.
        class_weight: Factor on the loss of each class, before the mean, shape (C,).

    Returns:
        The loss, a scalar.

    Reference:
        Berman et al., CVPR 2018, arXiv:1705.08790, Eq. 11-12.
    """
    rows, classes, pixels = probs.shape
    valid = valid.unsqueeze(1) if valid.dim() == 2 else valid
    counted = is_pos if counted is None else counted.expand(rows, classes).unsqueeze(2)
    counted = (counted & valid).any(2)
    if rows > 1 or valid.shape[1] > 1:
        valid = valid.expand_as(probs)
    losses = lovasz_extension(
        probs.reshape(-1, pixels),
        is_pos.reshape(-1, pixels),
        valid.reshape(-1, pixels),
        0.0,
        counted.flatten(),
    ).reshape(rows, classes)
    if class_weight is not None:
        losses = losses * class_weight
    return mean_over(mean_over(losses, counted), counted.any(1))


@MODELS.register_module(force=True)
class LovaszHingeLoss(SegmentationLoss):
    """Registered form of :func:`lovasz_hinge` for one channel, or background and foreground.

    The loss has no weights of pixels, hence none of classes: a pixel takes part unless its weight
    is 0.

    Args:
        per_image: Mean of one IoU an image; False for one of the whole batch.
        loss_weight: As :class:`SegmentationLoss`.
        loss_name: As :class:`SegmentationLoss`.
        ignore_index: As :class:`SegmentationLoss`.
        output_weight: As :class:`SegmentationLoss`.
    """

    def __init__(
        self,
        per_image: bool = False,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_lovasz_hinge',
        ignore_index: int | None = 255,
        output_weight: Sequence[float] | None = None,
    ) -> None:
        super().__init__(loss_weight, loss_name, ignore_index, output_weight=output_weight)
        self.per_image = per_image

    def compute(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the loss; arguments as the base class."""
        rows = len(pred) if self.per_image else 1
        logits = foreground_logits(pred, type(self).__name__)
        maps = (logits, target == 1, weight > 0)
        return lovasz_hinge(*(m.reshape(rows, -1) for m in maps))


@MODELS.register_module(force=True)
class LovaszSoftmaxLoss(SegmentationLoss):
    """Registered form of :func:`lovasz_softmax`.

    The loss has no weights of pixels: one takes part unless its weight is 0. Multi-label targets,
    (N, C, ...), need ``use_sigmoid``; the mean is then over the channels as ``classes`` says.

    Args:
        classes: Classes to average over: those 'present' in the target, 'all', or a list of
            channels. With one channel and 'present', images without foreground teach nothing.
        per_image: Mean of one IoU an image; False for one of the whole batch.
        class_weight: Factor on the loss of each channel, before the mean: a list, array or tensor.
        use_sigmoid: One sigmoid a channel in place of the softmax.
        loss_weight: As :class:`SegmentationLoss`.
        loss_name: As :class:`SegmentationLoss`.
        **kwargs: ``ignore_index`` and ``output_weight`` as :class:`SegmentationLoss`.

    Raises:
        ValueError: If ``classes`` is nothing of the above, or ``class_weight`` not finite numbers
            >= 0.
    """

    weighs_pixels = False
    fills_ignored = False  # a copy of the logits; their errors are masked in any case

    def __init__(
        self,
        classes: str | Sequence[int] = 'present',
        per_image: bool = False,
        class_weight: Sequence[float] | Any | None = None,
        use_sigmoid: bool = False,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_lovasz_softmax',
        **kwargs: Any,
    ) -> None:
        super().__init__(loss_weight, loss_name, class_weight=class_weight, **kwargs)
        if not _is_channels(classes) and not (
            isinstance(classes, str) and classes in ('present', 'all')
        ):
            raise ValueError(
                f"classes must be 'present', 'all' or a list of different channels, got {classes!r}"
            )
        self.classes = classes if isinstance(classes, str) else tuple(classes)
        self.per_image = per_image
        self.use_sigmoid = use_sigmoid
        # A buffer moves with the model: copying it in each step would wait for the device.
        listed = None if isinstance(classes, str) else torch.tensor(self.classes)
        self.register_buffer('listed', listed, persistent=False)

    def compute(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the loss; arguments as the base class."""
        labels = torch.arange(pred.shape[1], device=pred.device)[:, None]
        is_pos = self._rows(target.unsqueeze(1)) == (labels if len(labels) > 1 else 1)
        return self._of_masks(pred, is_pos, weight.unsqueeze(1) > 0)

    def compute_multilabel(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the loss of masks for each channel; arguments as the base class.

        Raises:
            ValueError: Without ``use_sigmoid``: a softmax has one class a pixel.
        """
        if not self.use_sigmoid:
            raise ValueError(
                'LovaszSoftmaxLoss: a target with a mask for each channel needs use_sigmoid=True; '
                'of one class a pixel give the class indices, (N, ...)'
            )
        return self._of_masks(pred, self._rows(target) == 1, weight > 0)

    def _of_masks(self, pred: Tensor, is_pos: Tensor, valid: Tensor) -> Tensor:
        """Return the loss for ``is_pos`` (rows, C, pixels) and ``valid`` (N, 1 or C, ...)."""
        channels = pred.shape[1]
        self._check_channels(channels)
        pred = pred.view_as(pred)  # a hook on the caller's own tensor would stay there
        if pred.requires_grad:
            # The derivative of a softmax is no number where the logits are none.
            pred.register_hook(lambda grad: grad.masked_fill(~valid, 0))
        probs = self._rows(pred.sigmoid() if self.use_sigmoid else pred.softmax(1))
        labels = torch.arange(channels, device=pred.device)[:, None]
        class_weight = self.class_weight
        if class_weight is not None:
            class_weight = self.checked_class_weight(pred, channels)
        return lovasz_softmax(probs, is_pos, self._rows(valid), self._counted(labels), class_weight)

    def _rows(self, maps: Tensor) -> Tensor:
        """Bring (N, C, ...) to (rows, C, pixels), where a row is what one IoU a class is of."""
        if self.per_image:
            return maps.flatten(2) if maps.dim() > 2 else maps.unsqueeze(2)
        return maps.transpose(0, 1).flatten(1).unsqueeze(0)

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
        if not isinstance(self.classes, str) and max(self.classes) >= channels:
            raise ValueError(f'classes must be channels below {channels}, got {self.classes}')


def _is_channels(classes: object) -> bool:
    if isinstance(classes, str) or not isinstance(classes, Sequence) or not classes:
        return False
    whole = all(type(channel) is int and channel >= 0 for channel in classes)
    return whole and len(set(classes)) == len(classes)
