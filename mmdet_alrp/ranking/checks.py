"""One clear line for input that cannot be ranked."""

from __future__ import annotations

import torch
from torch import Tensor

from .class_targets import ClassTargets
from .options import RankingOptions


def check_ranking(logits: Tensor, targets: Tensor | ClassTargets, delta: float) -> None:
    """Refuse logits, targets or a delta that cannot be ranked.

    Args:
        logits: Scores before the sigmoid, shape (n,).
        targets: 1 positive, 0 negative, -1 ignored, integer, shape (n,), or class indices; the
            values are not read.
        delta: Half-width of the smoothed step, in logits.

    Raises:
        TypeError: If ``logits`` is not floating point, or ``targets`` not integer.
        ValueError: If shapes disagree, or ``delta`` is not a finite number >= 0.
    """
    if not logits.is_floating_point():
        raise TypeError(f'logits must be floating point, got {logits.dtype}')
    if not 0 <= delta < float('inf'):
        raise ValueError(f'delta must be a finite number >= 0, got {delta}')
    if isinstance(targets, ClassTargets):
        num_rows, num_classes = len(targets.class_indices), targets.num_classes
        if logits.shape != (num_rows * num_classes,):
            raise ValueError(
                f'logits must have shape ({num_rows} * {num_classes},) as the rows and classes of '
                f'targets, got {tuple(logits.shape)}'
            )
        return
    if not _is_integer(targets):
        raise TypeError(f'targets must be an integer tensor of 1, 0 and -1, got {targets.dtype}')
    if logits.dim() != 1 or logits.shape != targets.shape:
        raise ValueError(
            'logits and targets must both have shape (n,), '
            f'got {tuple(logits.shape)} and {tuple(targets.shape)}'
        )


def check_options(logits: Tensor, targets: Tensor | ClassTargets, options: RankingOptions) -> None:
    """Refuse options that do not fit the logits or one another.

    Args:
        logits: Scores before the sigmoid, shape (n,).
        targets: What the logits are: one image a logit, or one a row.
        options: Images, processes and error distribution.

    Raises:
        TypeError: If ``images`` is not integer.
        ValueError: If ``error_skew`` is not a finite number >= 0, or ``images`` has another shape
            than ``logits``, comes without ``num_images`` or together with ``group``.
    """
    if not 0 <= options.error_skew < float('inf'):
        raise ValueError(f'error_skew must be a finite number >= 0, got {options.error_skew}')
    images = options.images
    if images is None:
        return
    if options.over_processes:
        raise ValueError('images and group exclude one another: an image is in one process')
    if options.num_images is None or options.num_images < 1:
        raise ValueError(f'images needs num_images >= 1, got {options.num_images}')
    if not _is_integer(images):
        raise TypeError(f'images must be an integer tensor, got {images.dtype}')
    by_row = isinstance(targets, ClassTargets)
    shape = targets.class_indices.shape if by_row else logits.shape
    if images.shape != shape:
        raise ValueError(
            f'images must have the shape of {"class indices" if by_row else "logits"}, '
            f'{tuple(shape)}, got {tuple(images.shape)}'
        )


def check_pos_values(name: str, values: Tensor, num_pos: int) -> None:
    """Refuse values that are not one floating point number a positive.

    Args:
        name: What the caller calls the values, for the message.
        values: One value a positive, shape (num_pos,).
        num_pos: Number of positives.

    Raises:
        TypeError: If ``values`` is not floating point.
        ValueError: If it has another shape.
    """
    if not values.is_floating_point():
        raise TypeError(f'{name} must be floating point, got {values.dtype}')
    if values.dim() != 1:
        raise ValueError(f'{name} must have shape (num_pos,), got {tuple(values.shape)}')
    if len(values) != num_pos:
        raise ValueError(
            f'{name} must have one value per positive: '
            f'expected shape ({num_pos},), got ({len(values)},)'
        )


def checked_labels(ious: Tensor) -> Tensor:
    """Refuse labels of Rank & Sort Loss that are no IoU.

    Args:
        ious: Labels of the positives, floating point, shape (num_pos,). A little above 1 is taken
            for rounding.

    Returns:
        The labels. Off the CPU a check would wait for the device: there a label outside [0, 1]
        becomes NaN, and so does the loss.

    Raises:
        ValueError: If a label on the CPU is outside [0, 1].
    """
    outside = (ious < 0) | (ious > 1 + 8 * torch.finfo(ious.dtype).eps)
    outside &= ious.isfinite()  # what is infinite is seen in the loss
    if ious.device.type != 'cpu':
        return ious.masked_fill(outside, torch.nan)
    if bool(outside.any()):
        raise ValueError(f'ious must be in [0, 1], got {ious[outside][0].item():.4g}')
    return ious


def _is_integer(values: Tensor) -> bool:
    return not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)
