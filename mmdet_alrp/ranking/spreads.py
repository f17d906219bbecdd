"""Gradients on the negatives, ready to be written when their factor is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Spread(NamedTuple):
    """A gradient on the negatives, to be written when its factor is known.

    Attributes:
        fill: Called with factor, dtype and tensors, returns the gradient on all logits.
        tensors: What it takes.
    """

    fill: Callable[..., Tensor]
    tensors: tuple[Tensor, ...]


def fill_by_index(
    num_logits: int, factor: Tensor, dtype: torch.dtype, neg_index: Tensor, neg_grad: Tensor
) -> Tensor:
    """Return ``factor * neg_grad`` where the negatives stand, 0 elsewhere, shape (num_logits,)."""
    grad = neg_grad.new_zeros(num_logits, dtype=dtype)
    return grad.index_copy_(0, neg_index, (neg_grad * factor).to(dtype))


def no_gradient(num_logits: int, factor: Tensor, dtype: torch.dtype) -> Tensor:
    """Return a gradient of 0 on all logits."""
    return factor.new_zeros(num_logits, dtype=dtype)
