"""Reads data samples as tensors: MMSegmentation's samples and plain dictionaries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import Tensor


def read_map(sample: Mapping[str, Any], key: str) -> Tensor:
    """Return one map of a data sample.

    Args:
        sample: What a data set and a model say about one image. MMEngine hands over dictionaries
            in which each map is a dictionary with the entry ``data``; the map itself, or an object
            with an attribute ``data`` such as ``PixelData``, does as well.
        key: Name of the map.

    Returns:
        Tensor of shape (c, h, w); c is 1 where the sample has a map of shape (h, w).

    Raises:
        ValueError: If the sample has no such map, or it is no image.
    """
    value = sample.get(key)
    if isinstance(value, Mapping | BaseDataElement):
        value = value.get('data')
    if value is None:
        raise ValueError(
            f'a data sample has no {key!r}, only {", ".join(map(str, sample)) or "nothing"}: '
            + (
                'the test pipeline has to load and pack the annotations'
                if key.startswith('gt_')
                else 'the model has to return it in predict mode'
            )
        )
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(np.ascontiguousarray(value))
    if not isinstance(value, Tensor) or value.ndim not in (2, 3):
        found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
        raise ValueError(f'{key} must be a tensor of shape (h, w) or (c, h, w), got {found}')
    return value.detach()[None] if value.ndim == 2 else value.detach()


def read_labels(sample: Mapping[str, Any], pred_key: str, target_key: str) -> tuple[Tensor, Tensor]:
    """Return prediction and target of a sample as label maps on the prediction's device.

    Args:
        sample: As in :func:`read_map`.
        pred_key: Name of the predicted label map.
        target_key: Name of the true one.

    Returns:
        Two tensors of shape (1, h, w).

    Raises:
        ValueError: If a map is missing or has more than one channel.
    """
    maps = []
    for key in (pred_key, target_key):
        labels = read_map(sample, key)
        if labels.shape[0] != 1:
            raise ValueError(
                f'{key} must hold one label a pixel, shape (1, h, w), got {tuple(labels.shape)}'
            )
        maps.append(labels)
    return maps[0], maps[1].to(maps[0].device)
