"""Gradients on all logits, ready to be written when their factor is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Spread(NamedTuple):
    """A gradient on all logits: positives move up, negatives down, by a factor yet unknown.

    Attributes:
        fill: Called with factor, tensors, dtype and number of logits, returns the gradient.
        tensors: What it takes.
    """

    fill: Callable[..., Tensor]
    tensors: tuple[Tensor, ...]


def fill_by_index(
    factor: Tensor, tensors: tuple[Tensor, ...], dtype: torch.dtype, num_logits: int
) -> Tensor:
    """Write a gradient that is told by the places where it is not 0.

    Args:
        factor: What all of it is multiplied by, a scalar.
        tensors: Places of the positives and by how much each of them moves up; places of
            negatives, if any, and the gradient there.
        dtype: Type of the gradient.
        num_logits: Length of the gradient.

    Returns:
        The gradient, shape (num_logits,).
    """
    grad = factor.new_zeros(num_logits, dtype=dtype)
    pos_index, update, *of_negatives = tensors
    if of_negatives:
        neg_index, neg_grad = of_negatives
        grad.index_copy_(0, neg_index, (neg_grad * factor).to(dtype))
    return grad.index_copy_(0, pos_index, (update * -factor).to(dtype))
