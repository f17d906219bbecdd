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

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .relations import Ranking


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


def error_driven_loss(logits: Tensor, ranking: Ranking, terms: ErrorTerms) -> Tensor:
    """Connect a ranking loss to the logits.

    Args:
        logits: What was ranked, shape (n,); receives the error-driven update as its gradient.
        ranking: The ranking of ``logits``.
        terms: The loss on that ranking.

    Returns:
        The value of the loss, a scalar in the dtype of ``logits``.
    """
    value = (terms.errors / terms.normalizer).sum() if terms.value is None else terms.value
    value = value.to(logits.dtype)
    if not (logits.requires_grad and torch.is_grad_enabled()):
        return value
    update = (terms.errors - terms.target_errors) / terms.normalizer
    update = torch.where(ranking.num_fp > 0, update, 0)  # above every negative: left alone
    neg_grad = ranking.spread_over_negatives(update)
    pos_grad = -ranking.local(update).to(neg_grad.dtype)
    return fixed_gradient(logits, value, ranking, pos_grad, neg_grad)


def fixed_gradient(
    logits: Tensor, value: Tensor, ranking: Ranking, pos_grad: Tensor, neg_grad: Tensor | None
) -> Tensor:
    """Return ``value`` with a known gradient on the logits.

    Args:
        logits: What was ranked, shape (n,).
        value: A scalar.
        ranking: The ranking of ``logits``.
        pos_grad: Gradient on the positives of this process, in the dtype of ``logits``, shape
            (num_local,).
        neg_grad: Gradient on ``ranking.neg_index``, in the dtype of ``logits``; None is 0.
    """
    neg_index = ranking.neg_index if neg_grad is not None else ranking.neg_index[:0]
    neg_grad = pos_grad[:0] if neg_grad is None else neg_grad
    return _FixedGradient.apply(logits, value, ranking.pos_index, pos_grad, neg_index, neg_grad)


class _FixedGradient(torch.autograd.Function):
    """A value whose gradient on the logits is known, on the few logits where it is not 0."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, value: Tensor, *parts: Tensor) -> Tensor:
        ctx.save_for_backward(*parts)
        ctx.shape = logits.shape
        return value.clone()

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        grad = grad_output.new_zeros(ctx.shape)
        pos_index, pos_grad, neg_index, neg_grad = ctx.saved_tensors
        grad.index_copy_(0, neg_index, neg_grad * grad_output)
        grad.index_copy_(0, pos_index, pos_grad * grad_output)
        return (grad, *[None] * 5)
