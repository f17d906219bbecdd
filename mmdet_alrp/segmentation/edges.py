"""Edges of masks and label maps: where a class ends, and what lies within a tolerance of it.

A pixel is an edge pixel of a mask if it belongs to the mask and one of its eight neighbours does
not. The outside of the image is no neighbour. An ignored pixel is of no class, so that a class ends
where it meets one: the masks of PASCAL VOC part all objects by ignored strips and have no other
edges.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_Combine = Callable[[Tensor, Tensor], Tensor]


def mask_edges(masks: Tensor) -> Tensor:
    """Inner edges of masks: XOR of a mask with its 3x3 min-pooled self.

    Args:
        masks: Masks of 0 and 1, bool or integer, shape (..., H, W).

    Returns:
        Edge pixels, bool, shape of ``masks``.

    Raises:
        ValueError: If ``masks`` has fewer than two dimensions.

    Reference:
        Li et al., ICLR 2021, arXiv:2010.07930, below Eq. 5.
    """
    masks = _as_bool(masks)
    return masks & ~_window(masks, 1, torch.logical_and, outside=True)


def label_edges(labels: Tensor, valid: Tensor | None = None) -> Tensor:
    """Pixels that are edge pixels of their own class; needs no mask for each class.

    The edge of class c is ``label_edges(labels, valid) & (labels == c)``, which is
    ``mask_edges((labels == c) & valid)``.

    Args:
        labels: Class indices, integer, shape (..., H, W).
        valid: False where a pixel is ignored, bool, shape of ``labels``; None is everywhere True.

    Returns:
        Edge pixels of any class, bool, shape of ``labels``.

    Raises:
        ValueError: If ``labels`` has fewer than two dimensions.
    """
    _check_image(labels)
    limits = torch.iinfo(labels.dtype)
    if valid is not None:
        labels = labels.masked_fill(~valid, limits.max)
    low = _window(labels, 1, torch.minimum, outside=limits.max)
    high = _window(labels, 1, torch.maximum, outside=limits.min)
    edges = low != high
    return edges if valid is None else edges & valid


def dilate(masks: Tensor, tolerance: int) -> Tensor:
    """Grow masks by ``tolerance`` pixels in each of the eight directions.

    Args:
        masks: Masks of 0 and 1, bool or integer, shape (..., H, W).
        tolerance: Pixels to grow by: max-pooling with a window of ``2 * tolerance + 1``; 0 keeps
            the masks.

    Returns:
        Grown masks, bool, shape of ``masks``.

    Raises:
        ValueError: If ``tolerance`` is negative or ``masks`` has fewer than two dimensions.
    """
    check_tolerance(tolerance)
    return _window(_as_bool(masks), tolerance, torch.logical_or, outside=False)


def soft_min_pool(probs: Tensor) -> Tensor:
    """Differentiable 3x3 min-pooling with stride 1; outside the image counts as one.

    Args:
        probs: Probabilities, float, shape (N, C, H, W).

    Returns:
        Smallest probability around each pixel, shape of ``probs``.
    """
    return -_soft_max_pool(-probs, 1)


def soft_dilate(probs: Tensor, tolerance: int) -> Tensor:
    """Differentiable counterpart of :func:`dilate`: max-pooling with stride 1.

    Args:
        probs: Values in [0, 1], float, shape (N, C, H, W).
        tolerance: As :func:`dilate`.

    Returns:
        Largest value within the tolerance of each pixel, shape of ``probs``.

    Raises:
        ValueError: If ``tolerance`` is negative.
    """
    check_tolerance(tolerance)
    return _soft_max_pool(probs, tolerance)


def check_tolerance(tolerance: int) -> None:
    """Raise ``ValueError`` unless ``tolerance`` is a whole number of pixels, 0 or more."""
    if not isinstance(tolerance, int) or isinstance(tolerance, bool) or tolerance < 0:
        raise ValueError(f'tolerance must be a whole number of pixels >= 0, got {tolerance!r}')


def _soft_max_pool(values: Tensor, reach: int) -> Tensor:
    if reach == 0:
        return values
    for axis in (-1, -2):
        values = _LineMax.apply(values, axis, reach)
    return values


class _LineMax(torch.autograd.Function):
    """Running maximum along an axis; keeps one byte a value and step for its gradient.

    Autograd through pooling would keep an index of eight bytes a value and, on a CPU, take several
    times as long.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, axis: int, reach: int) -> Tensor:
        ctx.axis, ctx.reach, ctx.shifts, ctx.shape = axis, reach, _shifts(reach), values.shape
        from_left = []
        values = _pad(values, axis, reach, -torch.inf)
        for shift in ctx.shifts:
            left, right = _shifted_pair(values, axis, shift)
            from_left.append(left >= right)
            values = torch.maximum(left, right)
        ctx.save_for_backward(*from_left)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        result = grad.new_empty(ctx.shape)
        # An image at a time on a CPU, so that its steps find it in the cache.
        count = 1 if grad.device.type == 'cpu' else max(grad[..., 0, 0].numel(), 1)
        images = (t.reshape(-1, *t.shape[-2:]).split(count) for t in (grad, *ctx.saved_tensors))
        for block, part, *from_left in zip(
            result.view(-1, *result.shape[-2:]).split(count), *images, strict=True
        ):
            part = _route(part, from_left, ctx.axis, ctx.shifts)
            block.copy_(part.narrow(ctx.axis, ctx.reach, block.shape[ctx.axis]))
        return result, None, None


def _route(grad: Tensor, from_left: Sequence[Tensor], axis: int, shifts: Sequence[int]) -> Tensor:
    """Lead the gradient of a running maximum back, step by step, to the values it took."""
    for shift, is_left in zip(reversed(shifts), reversed(from_left), strict=True):
        to_left = grad * is_left
        below = _pad(to_left, axis, 0, 0, after=shift)
        below.narrow(axis, shift, grad.shape[axis]).add_(grad - to_left)
        grad = below
    return grad


def _window(values: Tensor, reach: int, combine: _Combine, outside: bool | int) -> Tensor:
    """Combine each pixel with all within ``reach``, for a ``combine`` that repeats do not change.

    Masks keep their one byte a pixel; pooling would want floating point.
    """
    if reach == 0:
        return values
    for axis in (-1, -2):
        values = _pad(values, axis, reach, outside)
        for shift in _shifts(reach):
            values = combine(*_shifted_pair(values, axis, shift))
    return values


def _shifts(reach: int) -> list[int]:
    """Shifts by which a window of ``2 * reach + 1`` grows from one pixel, doubling where it can.

    The last may overlap: combining a pixel twice changes no minimum and no maximum.
    """
    shifts, window = [], 1
    while window < 2 * reach + 1:
        shifts.append(min(window, 2 * reach + 1 - window))
        window += shifts[-1]
    return shifts


def _shifted_pair(values: Tensor, axis: int, shift: int) -> tuple[Tensor, Tensor]:
    length = values.shape[axis] - shift
    return values.narrow(axis, 0, length), values.narrow(axis, shift, length)


def _pad(values: Tensor, axis: int, before: int, fill: float, after: int | None = None) -> Tensor:
    """Pad one axis; the fill may be an integer that a float, as padding takes it, cannot hold."""
    length = values.shape[axis]
    shape = list(values.shape)
    shape[axis] = before + length + (before if after is None else after)
    padded = values.new_full(shape, fill)
    padded.narrow(axis, before, length).copy_(values)
    return padded


def _as_bool(masks: Tensor) -> Tensor:
    _check_image(masks)
    return masks if masks.dtype == torch.bool else masks != 0


def _check_image(values: Tensor) -> None:
    if values.ndim < 2:
        raise ValueError(f'expected images of shape (..., H, W), got shape {tuple(values.shape)}')
