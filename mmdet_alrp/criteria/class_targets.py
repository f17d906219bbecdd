"""From one class index for each prediction to one target for each logit."""

from __future__ import annotations

import torch
from torch import Tensor


def positives_of(logits: Tensor, class_indices: Tensor) -> Tensor:
    """Check logits and class indices and return the rows of the positives, shape (num_pos,).

    The host waits for the device here: the number of positives is the size of the result.

    Args:
        logits: Scores before the sigmoid, floating point, shape (n, C).
        class_indices: 0 to C - 1 for a positive, C for the background, -1 for what takes no part,
            integer, shape (n,).

    Raises:
        ValueError: If shapes disagree, or a class index on the CPU is outside [-1, C]. Elsewhere a
            look at the values would make the step wait; there such a row takes no part.
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
    return ((class_indices >= 0) & (class_indices < num_classes)).nonzero().squeeze(1)


def class_targets(class_indices: Tensor, num_classes: int, pos_rows: Tensor) -> Tensor:
    """Return 1 for the class of a positive, -1 where nothing takes part, 0 elsewhere.

    Args:
        class_indices: As in :func:`positives_of`, shape (n,).
        num_classes: C.
        pos_rows: Rows of the positives, from :func:`positives_of`.

    Returns:
        One target a logit, int8, shape (n * C,).
    """
    takes_part = (class_indices >= 0) & (class_indices <= num_classes)
    targets = (takes_part.to(torch.int8) - 1).unsqueeze(1).repeat(1, num_classes)
    targets[pos_rows, class_indices[pos_rows].long()] = 1
    return targets.reshape(-1)
