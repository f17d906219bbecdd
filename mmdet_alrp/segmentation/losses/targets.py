"""Targets and weights of pixels in one form, whichever way a caller gives them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any, NamedTuple

import torch
from torch import Tensor

SLACK = 1e-3  # resizing and rounding may carry a mask that far from what it should hold
GREY = 255


class Pixels(NamedTuple):
    """Targets of a batch, all valid, and whether they were not.

    Args:
        labels: Class indices, int64, or soft masks of the dtype of the prediction, 0 where a pixel
            takes no part; shape (N, ...), with a mask for each channel (N, C, ...).
        weight: How often a pixel counts, 0 where it takes no part, of the dtype of the prediction,
            same shape.
        any_wrong: Whether a label or weight was wrong, bool, a scalar.
    """

    labels: Tensor
    weight: Tensor
    any_wrong: Tensor


def pixel_shapes(pred: Tensor) -> tuple[torch.Size, torch.Size]:
    """Shapes that a map of the pixels of ``pred``, (N, C, ...), may have: (N, ...), (N, 1, ...)."""
    images, space = pred.shape[:1], pred.shape[2:]
    return images + space, images + (1,) + space  # noqa: RUF005, sizes stay sizes


def is_multilabel(pred: Tensor, target: Tensor) -> bool:
    """Whether the target has a mask for each of several channels of ``pred``, (N, C, ...)."""
    return target.shape == pred.shape and pred.shape[1] > 1


def prepare_target(
    pred: Tensor,
    target: Tensor,
    weight: Tensor | None,
    ignore_index: int | None,
    soft: bool,
    name: str,
) -> Pixels:
    """Return labels that are all valid, the weight of each pixel, and whether any was wrong.

    Args:
        pred: Logits, shape (N, C, ...).
        target: Class indices or masks, shape (N, ...), (N, 1, ...) or, with a mask for each
            channel, (N, C, ...); floating point stands for class indices too, unless ``soft``.
        weight: Weight of each pixel, shape as ``target``, or without its channels; None is 1.
        ignore_index: Label of pixels to leave out; None is no label.
        soft: Take floating point for masks between 0 and 1.
        name: Loss that asks, for the message.

    Returns:
        Maps in which ignored and wrong pixels have label and weight 0. A label whose pixel has
        weight 0 is never wrong, nor is the weight of a pixel whose label is ignored.

    Raises:
        ValueError: On a CPU, if a label or weight is wrong.
    """
    several = is_multilabel(pred, target)
    classes = 2 if several else max(pred.shape[1], 2)
    target = target if several else target.reshape(pixel_shapes(pred)[0])
    labels, is_class = _classes_of(target, classes, soft, pred.dtype)
    ignored = torch.zeros_like(is_class) if ignore_index is None else target == ignore_index
    if weight is None:
        weight, is_weight = torch.ones_like(labels, dtype=pred.dtype), torch.ones_like(is_class)
    else:
        weight = _weights_of(weight.to(pred.dtype), target, several)
        is_weight = (weight >= 0) & (weight < math.inf)
    counts = ~ignored & (weight != 0)
    any_wrong = (counts & ~(is_class & is_weight)).any()
    if any_wrong.device.type == 'cpu' and any_wrong:
        _refuse_weights(weight[counts & ~is_weight], name)
        form = f'a label must be in 0 ... {classes - 1} with {pred.shape[1]} channels'
        if labels.is_floating_point():
            form = 'a soft mask must be in [0, 1]'
        raise ValueError(
            f'{name}: target holds {target[counts & ~is_class][0].item():g}, but {form}, or '
            f'{ignore_index} where it is ignored'
        )
    # Filled, not multiplied: where the label is ignored a weight may be no number.
    left_out = ~(counts & is_class & is_weight)
    return Pixels(labels.masked_fill(left_out, 0), weight.masked_fill(left_out, 0), any_wrong)


def _classes_of(
    target: Tensor, classes: int, soft: bool, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return labels or soft masks, and where they are some; elsewhere they are anything."""
    if not target.is_floating_point():
        labels = target.long()
        return labels, (labels >= 0) & (labels < classes)
    if soft:
        masks = target.to(dtype)
        return masks.clamp(0, 1), (masks >= -SLACK) & (masks <= 1 + SLACK)
    near = target.round()
    is_class = (near >= 0) & (near < classes) & ((target - near).abs() <= SLACK)
    return near.masked_fill(~is_class, 0).long(), is_class


def _weights_of(weight: Tensor, target: Tensor, several: bool) -> Tensor:
    """Give weights the shape of the target; those of a pixel hold for all of several channels."""
    if not several:
        return weight.reshape(target.shape)
    return (weight if weight.dim() == target.dim() else weight.unsqueeze(1)).expand_as(target)


def _refuse_weights(wrong: Tensor, name: str) -> None:
    if len(wrong):
        raise ValueError(
            f'{name}: weight holds {wrong[0].item():g}, but the weight of a pixel must be a finite '
            'number >= 0'
        )


def are_instance_labels(pred: Tensor, weight: Tensor | None) -> bool:
    """Whether what stands in the place of weights are classes of instances, integers (N,).

    MMDetection's mask heads call a loss with logits (N, C, H, W) of N instances, their masks
    (N, H, W), and their classes.
    """
    if weight is None or weight.is_floating_point() or weight.dtype == torch.bool:
        return False
    return pred.dim() > 2 and weight.shape == pred.shape[:1]


def instance_logits(pred: Tensor, labels: Tensor, name: str) -> Tensor:
    """Pick the channel of each instance's class.

    Args:
        pred: Logits, shape (N, C, ...).
        labels: Classes, integer, shape (N,).
        name: Loss that asks, for the message.

    Returns:
        Logits, shape (N, 1, ...).

    Raises:
        ValueError: On a CPU, if a label is no channel.
    """
    channels = pred.shape[1]
    if labels.device.type == 'cpu':
        wrong = labels[(labels < 0) | (labels >= channels)]
        if len(wrong):
            raise ValueError(
                f'{name}: the class of an instance must be in 0 ... {channels - 1} with {channels} '
                f'channels, got {wrong[0].item()}'
            )
    index = labels.long().reshape(-1, *[1] * (pred.dim() - 1))
    return pred.gather(1, index.expand(-1, 1, *pred.shape[2:]))


def looks_like_grey_mask(target: Tensor) -> bool | None:
    """Whether a mask of a foreground holds grey levels, 0 and 255, in place of 0 and 1.

    Reads one answer from the device.

    Args:
        target: Masks, any shape and real dtype.

    Returns:
        None if it holds nothing but 0, or nothing but 255, which tells nothing.
    """
    black, white = target == 0, target == GREY
    found = torch.stack([black.any(), white.any(), (~black & ~white).any()])
    has_black, has_white, has_other = found.tolist()
    if has_other:
        return False
    return True if has_black and has_white else None


def listed_weights(name: str, values: Any) -> tuple[float, ...] | None:
    """List weights that come as a list, an array or a tensor.

    Args:
        name: What they are, for the message.
        values: The weights, one dimension; None stays None.

    Raises:
        ValueError: If they are not finite numbers >= 0, or all are 0.
    """
    if values is None:
        return None
    listed = values.tolist() if hasattr(values, 'tolist') else values
    is_list = isinstance(listed, Sequence) and not isinstance(listed, str)
    if not is_list or not all(
        isinstance(value, Real) and 0 <= value < math.inf for value in listed
    ):
        shown = ' '.join(repr(values).split())  # arrays have lines
        raise ValueError(f'{name} must be a list of finite numbers >= 0, got {shown}')
    if not any(listed):
        raise ValueError(f'{name} must hold a number above 0, got {listed}')
    return tuple(map(float, listed))
