"""The error-driven update: from per-positive errors to a loss and its gradient.

A ranking loss is ``L = (1 / Z) sum_i l(i)`` over the positives i. Its primary terms are
``L_ij = l(i) p(j | i)`` with the error distribution ``p(j | i) = H(x_ij) / N_FP(i)`` over the
negatives j, and its update is driven by how far each error is from its target l*(i):

    dL / ds_i = -(l(i) - l*(i)) / Z                     for a positive i with N_FP(i) > 0
    dL / ds_j = +(1 / Z) sum_i (l(i) - l*(i)) p(j | i)  for a negative j

Positives and negatives get gradients of the same total magnitude, whatever l and l* are. A new loss
is one function from :class:`~mmdet_alrp.ranking.relations.Ranking` to :class:`ErrorTerms`;
``errors.py`` has several of them.

Reference:
    Oksuz et al., NeurIPS 2020, arXiv:2009.13592, Definition 1, Theorems 1 and 2, Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .relations import Ranking
from .spreads import Spread


@dataclass(frozen=True)
class ErrorTerms:
    """Per-positive terms that define a ranking loss.

    Attributes:
        errors: l(i), shape (num_pos,).
        target_errors: l*(i), what remains of l(i) when i stands above every negative; a number or
            of shape (num_pos,).
        normalizer: Z, a number or, where it differs from image to image, of shape (num_pos,).
        value: The number to report; None reports ``(errors / normalizer).sum()``.
    """

    errors: Tensor
    target_errors: Tensor | float
    normalizer: Tensor | float
    value: Tensor | None = None


def promoted(dtype: torch.dtype) -> torch.dtype:
    """Return float32 for half precision, other types as they are."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def at_least_float32(values: Tensor) -> Tensor:
    """Return half precision values in float32, others as they are.

    Args:
        values: Floating point, any shape.
    """
    return values.to(promoted(values.dtype))


def zero_loss(logits: Tensor) -> Tensor:
    """Return 0, with a zero gradient on the logits whatever they hold.

    Args:
        logits: Floating point, shape (n,).
    """
    return at_least_float32(logits)[:0].sum()


def error_driven_loss(logits: Tensor, ranking: Ranking, terms: ErrorTerms) -> Tensor:
    """Return the value of a ranking loss, with the error-driven update as its gradient.

    Args:
        logits: What was ranked, shape (n,); receives the error-driven update as its gradient.
        ranking: The ranking of ``logits``.
        terms: The loss on that ranking.

    Returns:
        The value of the loss, a scalar in the dtype of ``logits``, at least float32.
    """
    value = (terms.errors / terms.normalizer).sum() if terms.value is None else terms.value
    if not (logits.requires_grad and torch.is_grad_enabled()):
        return value.to(promoted(logits.dtype))
    update = (terms.errors - terms.target_errors) / terms.normalizer
    return known_gradient(logits, value, ranking, ranking.spread(update))


def known_gradient(logits: Tensor, value: Tensor, ranking: Ranking, spread: Spread) -> Tensor:
    """Return ``value``, in the dtype of ``logits`` or float32, with a known gradient on the logits.

    Args:
        logits: What was ranked, shape (n,).
        value: A scalar.
        ranking: The ranking of ``logits``.
        spread: The gradient.
    """
    if not ranking.reads_half:
        logits = at_least_float32(logits)
    return _KnownGradient.apply(logits, value, spread.fill, *spread.tensors)


class _KnownGradient(torch.autograd.Function):
    """A value whose gradient on the logits is known, and written once its factor is."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, value: Tensor, fill: Callable[..., Tensor], *tensors: Tensor
    ) -> Tensor:
        ctx.save_for_backward(*tensors)
        ctx.fill = partial(fill, dtype=logits.dtype, num_logits=len(logits))
        return value.to(promoted(logits.dtype), copy=True)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        return (ctx.fill(factor, tensors), *[None] * (2 + len(tensors)))
