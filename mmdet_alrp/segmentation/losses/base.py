"""Base of the segmentation losses: MMSegmentation's call and one form of input."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mmdet_alrp.ranking import at_least_float32

from .targets import (
    GREY,
    are_instance_labels,
    instance_logits,
    is_multilabel,
    listed_weights,
    looks_like_grey_mask,
    pixel_shapes,
    prepare_target,
)

LOOKS = 10  # batches at most that are read to tell whether masks hold grey levels


class SegmentationLoss(nn.Module):
    """A segmentation loss as MMSegmentation's decode heads call it; sub-classes write `compute`.

    Convention:
        The result is one number for the whole batch, in float32 or float64; half precision is
        computed in float32, under autocast too. Pixels take no part where the label is the ignored
        one or the caller's weight is 0: whatever they hold, they have no influence and no gradient
        (but BF1 of Auto Seg-Loss looks at the prediction there). Without pixels that take part the
        loss is 0, and so is its gradient.

        Any other label that is none of the classes is a mistake in the data, and so is a weight
        that is negative or no finite number: on a CPU an error, elsewhere, where reading it would
        wait for the device, a loss of NaN with a gradient of 0. ``MaskCheckHook`` stops a training
        before that and names the mask.

        Masks of a foreground that hold 0 and 255 in place of 0 and 1 are warned of once, as 255 is
        ignored by default. For that the first batches are read, ten at most and none after one with
        foreground; each reading waits for the device.

    Args:
        loss_weight: Factor on the loss.
        loss_name: Key in the log. MMSegmentation trains with it only if it starts with ``loss_``.
        ignore_index: Label of pixels to leave out, for calls that name none; None is no label.
        class_weight: Weight of each class, >= 0, a list, array or tensor; of one channel or two
            those of background and foreground. With multi-label targets it has one value per
            channel, a weight in the mean over the channels.
        output_weight: Factor on the loss of each prediction of a list; None is 1 for all.

    Raises:
        ValueError: If ``class_weight`` or ``output_weight`` are not finite numbers >= 0.
    """

    soft_targets = False
    """Whether masks with values between 0 and 1 are understood."""
    spatial_dims: int | None = None
    """How many dimensions of space the loss needs; None takes any."""
    weighs_pixels = True
    """Whether a class weight is a factor on the weights of the class's pixels."""
    fills_ignored = True
    """Whether logits of pixels that take no part are 0 for `compute`, and get no gradient."""

    def __init__(
        self,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_segmentation',
        ignore_index: int | None = 255,
        class_weight: Sequence[float] | Any | None = None,
        output_weight: Sequence[float] | Any | None = None,
    ) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.ignore_index = ignore_index
        self.output_weight = listed_weights('output_weight', output_weight)
        self._loss_name = loss_name
        self._looks = LOOKS
        listed = listed_weights('class_weight', class_weight)
        # A buffer moves with the model: copying it in each step would wait for the device.
        class_weight = None if listed is None else torch.tensor(listed)
        self.register_buffer('class_weight', class_weight, persistent=False)

    @property
    def loss_name(self) -> str:
        """Key in the log."""
        return self._loss_name

    def forward(
        self,
        pred: Tensor | Sequence[Tensor],
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
        ignore_index: int | None = None,
    ) -> Tensor:
        """Return the loss of a batch.

        Args:
            pred: Logits, shape (N, C, ...); one channel is the foreground's. A list or tuple of
                such tensors, as a net with supervision of several outputs has them, gives the sum
                of their losses, each times its ``output_weight``.
            target: Class indices, shape (N, ...) or (N, 1, ...); 0 and 1 if C is 1. Multi-label
                masks of 0 and 1, shape (N, C, ...), make each channel a foreground of its own,
                under a sigmoid, and the result is the mean over the channels. Integer, bool or
                floating point; some losses of a foreground take masks between 0 and 1 as well.
            weight: Weight of each pixel, >= 0, shape (N, ...) or (N, 1, ...), or as ``target``. Or
                the class of each instance, integer, shape (N,), as MMDetection's mask heads give
                it: then ``target`` is the mask of that class, and its channel alone is looked at.
            avg_factor: Must be None: the loss is no sum over pixels.
            reduction_override: None or 'mean': the loss has one value for the batch.
            ignore_index: Label of pixels to leave out, instead of that of the constructor.

        Returns:
            The loss, a scalar.

        Raises:
            ValueError: If shapes disagree, if a sum or one value a pixel is asked for, or, on a
                CPU, if a label is neither a class nor ignored, or a weight no finite number >= 0.
            TypeError: If ``pred`` is not floating point, or ``target`` is complex.
        """
        if avg_factor is not None or reduction_override not in (None, 'mean'):
            raise ValueError(
                f'{type(self).__name__} has one value for the batch, none for a pixel: avg_factor '
                f"must be None and reduction_override None or 'mean', got {avg_factor} and "
                f'{reduction_override!r}'
            )
        ignored = self.ignore_index if ignore_index is None else ignore_index
        if isinstance(pred, Tensor):
            return self._of_output(pred, target, weight, ignored)
        factors = self._output_factors(len(pred))
        losses = [self._of_output(output, target, weight, ignored) for output in pred]
        return torch.stack([f * loss for f, loss in zip(factors, losses, strict=True)]).sum()

    def compute(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the loss, a scalar, on checked input with at least one pixel.

        Args:
            pred: Logits, float32 or float64, shape (N, C, ...).
            target: Class indices in [0, C), or 0 and 1 if C is 1, int64, or a floating point mask
                in [0, 1] of the dtype of ``pred``; valid where ignored too. Shape (N, ...).
            weight: Weight of each pixel, 0 where it takes no part, of the dtype of ``pred``, shape
                (N, ...).
        """
        raise TypeError(f'{type(self).__name__} must define compute(pred, target, weight)')

    def compute_channel(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the loss of one channel of several.

        Args:
            pred: Logits, shape (N, 1, ...).
            target: Mask of 0 and 1, or between them, shape (N, ...).
            weight: Weight of each pixel, 0 where it takes no part, shape (N, ...).
        """
        return self.compute(pred, target, weight)

    def compute_multilabel(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the loss of masks for each channel, the mean over the channels.

        Args:
            pred: Logits, float32 or float64, shape (N, C, ...).
            target: Masks of 0 and 1, int64, or between them, of the dtype of ``pred``; shape of
                ``pred``.
            weight: Weight of each pixel, of the dtype and shape of ``pred``.
        """
        # One at a time: the figure of a whole batch is that of one channel.
        maps = zip(pred.split(1, 1), target.unbind(1), weight.unbind(1), strict=True)
        losses = torch.stack([self.compute_channel(*channel) for channel in maps])
        if self.class_weight is None:
            return losses.mean()
        shares = self.checked_class_weight(losses, len(losses))
        return (losses * shares).sum() / shares.sum().clamp(min=torch.finfo(losses.dtype).tiny)

    def checked_class_weight(self, like: Tensor, count: int) -> Tensor:
        """Return the class weights, which must be so many, with dtype and device of a tensor.

        Args:
            like: A floating point tensor.
            count: How many weights there must be.

        Raises:
            ValueError: If there are others.
        """
        if len(self.class_weight) != count:
            raise ValueError(
                f'{type(self).__name__}: class_weight must have one value per class: expected '
                f'{count}, got {len(self.class_weight)}'
            )
        return self.class_weight.to(like)

    def _of_output(
        self, pred: Tensor, target: Tensor, weight: Tensor | None, ignored: int | None
    ) -> Tensor:
        """Return the loss of one prediction."""
        name = type(self).__name__
        if are_instance_labels(pred, weight):
            pred, weight = instance_logits(pred, weight, name), None
        self._check(pred, target, weight)
        with torch.autocast(pred.device.type, enabled=False):
            pred = at_least_float32(pred)
            if pred.numel() == 0:
                return pred.sum()
            self._warn_of_grey_masks(pred, target, ignored)
            pixels = prepare_target(pred, target, weight, ignored, self.soft_targets, name)
            loss = self.loss_weight * self._dispatch(pred, pixels.labels, pixels.weight)
            return loss.masked_fill(pixels.any_wrong, torch.nan)

    def _dispatch(self, pred: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
        several = is_multilabel(pred, labels)
        if self.fills_ignored:
            taken_out = weight == 0
            pred = pred.masked_fill(taken_out if several else taken_out.unsqueeze(1), 0)
        if several:
            return self.compute_multilabel(pred, labels, weight)
        if self.class_weight is not None and self.weighs_pixels:
            of_class = self.checked_class_weight(weight, max(pred.shape[1], 2))
            if labels.is_floating_point():
                weight = weight * torch.lerp(of_class[0], of_class[1], labels)
            else:
                weight = weight * of_class[labels]
        return self.compute(pred, labels, weight)

    def _output_factors(self, count: int) -> Sequence[float]:
        factors = (1.0,) * count if self.output_weight is None else self.output_weight
        if len(factors) != count or not count:
            wanted = 'at least one' if self.output_weight is None else len(factors)
            raise ValueError(
                f'{type(self).__name__}: a list of predictions must have as many as output_weight '
                f'has values: expected {wanted}, got {count}'
            )
        return factors

    def _check(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> None:
        name = type(self).__name__
        if not pred.is_floating_point():
            raise TypeError(f'{name}: pred must be floating point, got {pred.dtype}')
        if target.is_complex():
            raise TypeError(f'{name}: target must hold class indices or masks, got {target.dtype}')
        dims = self.spatial_dims
        if pred.dim() < 2 or (dims is not None and pred.dim() != 2 + dims):
            form = '(N, C, ...)' if dims is None else f'(N, C) and {dims} dimensions of space'
            raise ValueError(f'{name}: pred must have shape {form}, got {tuple(pred.shape)}')
        shapes = pixel_shapes(pred)
        several = is_multilabel(pred, target)
        for key, value in (('target', target), ('weight', weight)):
            if value is None or value.shape in shapes or (several and value.shape == pred.shape):
                continue
            raise ValueError(
                f'{name}: {key} must have shape {tuple(shapes[0])} or {tuple(shapes[1])} '
                f'with pred of {tuple(pred.shape)}, or that of pred with a mask for each channel, '
                f'got {tuple(value.shape)}'
            )

    def _warn_of_grey_masks(self, pred: Tensor, target: Tensor, ignored: int | None) -> None:
        """Look at the first batches for masks whose foreground would be ignored."""
        of_foreground = pred.shape[1] <= 2 or is_multilabel(pred, target)
        if not self._looks or ignored != GREY or not of_foreground:
            return
        grey = looks_like_grey_mask(target)
        self._looks = self._looks - 1 if grey is None else 0
        if grey:
            warnings.warn(
                f'{type(self).__name__}: the masks hold nothing but 0 and 255, and 255 is ignored: '
                'divide them by 255 if it is the foreground; if it marks pixels to ignore, nothing '
                'is wrong',
                stacklevel=2,
            )


def mean_over(values: Tensor, counted: Tensor) -> Tensor:
    """Mean along the last dimension over the values that count; 0 where none does.

    Args:
        values: Finite numbers, shape (..., n).
        counted: Which of them count, bool, shape (..., n).
    """
    return (values * counted).sum(-1) / counted.sum(-1).clamp(min=1)
