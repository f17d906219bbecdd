"""From one class index for each prediction to what the ranking takes."""

from __future__ import annotations

import torch
from torch import Tensor

from mmdet_alrp.ranking import ClassTargets


def class_targets(logits: Tensor, class_indices: Tensor) -> ClassTargets:
    """Check logits and class indices and find the positives.

    The host waits for the device here, for the number of positives.

    Args:
        logits: Scores before the sigmoid, floating point, shape (n, C).
        class_indices: 0 to C - 1 for a positive, C for the background, -1 for what takes no part,
            integer, shape (n,).

    Raises:
        ValueError: If shapes disagree, or a class index on the CPU is outside [-1, C]. Elsewhere a
            look at the values would make the step wait; there an index below -1 takes no part and
            one above C is background.
        TypeError: If ``class_indices`` is not an integer tensor.
    """
    if class_indices.is_floating_point() or class_indices.dtype == torch.bool:
        raise TypeError(f'class_indices must be an integer tensor, got {class_indices.dtype}')
    if logits.dim() != 2 or class_indices.shape != logits.shape[:1]:
        raise ValueError(
            'logits and class_indices must have shapes (n, C) and (n,), '
            f'got {tuple(logits.shape)} and {tuple(class_indices.shape)}'
        )
    num_classes = logits.size(1)
    if class_indices.device.type == 'cpu' and len(class_indices):
        low, high = (int(end) for end in class_indices.aminmax())
        if low < -1 or high > num_classes:
            raise ValueError(
                f'class_indices must be -1 (takes no part), 0 to {num_classes - 1}, or '
                f'{num_classes} (background), got {low if low < -1 else high}'
            )
    takes_part = (class_indices >= 0).to(torch.int8)
    return ClassTargets.of(class_indices.long(), takes_part, num_classes)
