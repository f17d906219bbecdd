"""The general frame of ranking losses: errors in, a value and the error-driven update out.

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

from .relations import Ranking
from .spreads import Spread, no_gradient


@dataclass(frozen=True)
class ErrorTerms:
    """A ranking loss, said by its errors.

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


def at_least_float32(values: Tensor) -> Tensor:
    """Return half precision values in float32, others as they are."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def error_driven_loss(logits: Tensor, ranking: Ranking, terms: ErrorTerms) -> Tensor:
    """Connect a ranking loss to the logits.

    Args:
        logits: What was ranked, shape (n,); receives the error-driven update as its gradient.
        ranking: The ranking of ``logits``.
        terms: The loss on that ranking.

    Returns:
        The value of the loss, a scalar in the dtype of ``logits``, at least float32.
    """
    value = (terms.errors / terms.normalizer).sum() if terms.value is None else terms.value
    if not (logits.requires_grad and torch.is_grad_enabled()):
        return value.to(torch.promote_types(logits.dtype, torch.float32))
    update = (terms.errors - terms.target_errors) / terms.normalizer
    update = torch.where(ranking.num_fp > 0, update, 0)  # above every negative: left alone
    return known_gradient(logits, value, ranking, update, ranking.spread(update))


def known_gradient(
    logits: Tensor, value: Tensor, ranking: Ranking, update: Tensor, spread: Spread | None
) -> Tensor:
    """Return ``value``, in the dtype of ``logits`` or float32, with a known gradient on the logits.

    Args:
        logits: What was ranked, shape (n,).
        value: A scalar.
        ranking: The ranking of ``logits``.
        update: How much each positive is moved up, shape (num_pos,).
        spread: The gradient on the negatives; None is 0.
    """
    if not ranking.reads_half:
        logits = at_least_float32(logits)
    fill, tensors = (None, ()) if spread is None else spread
    return _KnownGradient.apply(
        logits, value, ranking.pos_index, ranking.local(update), fill, *tensors
    )


class _KnownGradient(torch.autograd.Function):
    """A value whose gradient on the logits is known: positives move up, negatives down."""

    @staticmethod
    def forward(
        ctx: Any,
        logits: Tensor,
        value: Tensor,
        pos_index: Tensor,
        update: Tensor,
        fill: Callable[..., Tensor] | None,
        *tensors: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(pos_index, update, *tensors)
        ctx.fill = fill or partial(no_gradient, len(logits))
        ctx.dtype = logits.dtype
        return value.to(torch.promote_types(logits.dtype, torch.float32), copy=True)

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        pos_index, update, *tensors = ctx.saved_tensors
        grad = ctx.fill(factor, ctx.dtype, *tensors)
        grad.index_copy_(0, pos_index, (-factor * update).to(grad.dtype))
        return (grad, *[None] * (4 + len(tensors)))
