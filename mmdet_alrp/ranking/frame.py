"""The general frame of ranking losses: errors in, a value and the error-driven update out.

A ranking loss is ``L = (1 / Z) sum_i l(i)`` over the positives i. Its primary terms are
``L_ij = l(i) p(j | i)`` with the error distribution ``p(j | i) = H(x_ij) / N_FP(i)`` over the
negatives j, and its update is driven by how far each error is from its target l*(i):

    dL / ds_i = -(l(i) - l*(i)) / Z                     for a positive i with N_FP(i) > 0
    dL / ds_j = +(1 / Z) sum_i (l(i) - l*(i)) p(j | i)  for a negative j

Positives and negatives get gradients of the same total magnitude, whatever l and l* are. A new loss
is one function from :class:`Ranking` to :class:`ErrorTerms`; ``errors.py`` has three of them.

Reference:
    Oksuz et al., NeurIPS 2020, arXiv:2009.13592, Definition 1, Theorems 1 and 2, Algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .step_sums import Located, StepBins


class Ranking:
    """One ranking of positives and negatives; nothing in it is connected to the autograd graph.

    Args:
        logits: float32 or float64, shape (n,).
        targets: 1 positive, 0 negative, -1 ignored, shape (n,).
        delta: Half-width of the smoothed step H.
        pos_index: Where the positives stand in ``logits``, shape (num_pos,), num_pos > 0.

    Attributes:
        neg_index: Where the negatives stand that are above the foot of some positive's step. No
            other negative has an effect.
        pos_logits: s_i of the positives in the order of ``targets``, float64, shape (num_pos,).
        pos_rank: rank+(i), the rank among the positives, shape (num_pos,); 1 is the best.
        num_fp: N_FP(i), the smoothed number of negatives above i, shape (num_pos,).
    """

    def __init__(self, logits: Tensor, targets: Tensor, delta: float, pos_index: Tensor) -> None:
        logits = logits.detach()
        self.pos_index = pos_index
        pos_logits = logits.index_select(0, self.pos_index)
        self.bins = StepBins(pos_logits, delta)
        self.pos_logits = pos_logits.to(self.bins.edges.dtype)
        self._pos_located = self.bins.locate(pos_logits)
        self._step_at_zero = 1.0 if delta == 0 else 0.5
        self.pos_rank = 1 + self.sum_above(torch.ones_like(self.pos_logits))

        below_all = logits < self.bins.value_edges[0]
        # Said by what is left out, so that a NaN among the negatives stays in and is seen.
        self.neg_index = below_all.logical_not_().logical_and_(targets == 0).nonzero().squeeze(1)
        neg_logits = logits.index_select(0, self.neg_index)
        self.neg_located: Located = self.bins.locate(neg_logits)
        num_fp = self.bins.sum_steps(*self.bins.histogram(self.neg_located))
        # 0 unless a logit is NaN or infinite: then the loss says so instead of hiding it.
        invalid = (pos_logits.sum() + neg_logits.sum()) * 0
        self.num_fp = num_fp.clamp(min=0) + invalid

    @property
    def num_pos(self) -> int:
        """Number of positives."""
        return len(self.pos_index)

    @property
    def rank(self) -> Tensor:
        """Rank of each positive among positives and negatives, shape (num_pos,)."""
        return self.pos_rank + self.num_fp

    def sum_above(self, values: Tensor) -> Tensor:
        """Return ``sum_{k != i} values(k) H(x_ik)`` over the positives k, shape (num_pos,)."""
        sums = self.bins.sum_steps(*self.bins.histogram(self._pos_located, values))
        return sums - self._step_at_zero * values.to(sums.dtype)


@dataclass(frozen=True)
class ErrorTerms:
    """A ranking loss, said by its errors.

    Attributes:
        errors: l(i), shape (num_pos,).
        target_errors: l*(i), what remains of l(i) when i stands above every negative.
        normalizer: Z.
        value: The number to report; None reports ``errors.sum() / normalizer``.
    """

    errors: Tensor
    target_errors: Tensor | float
    normalizer: float
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
    value = terms.errors.sum() / terms.normalizer if terms.value is None else terms.value
    value = value.to(logits.dtype)
    if not (logits.requires_grad and torch.is_grad_enabled()):
        return value
    update = (terms.errors - terms.target_errors) / terms.normalizer
    wrong = ranking.num_fp > 0  # a positive above every negative is left alone
    update = torch.where(wrong, update, 0)
    share = update / torch.where(wrong, ranking.num_fp, 1)  # of each unit of H(x_ij)
    neg_grad = ranking.bins.evaluate(ranking.neg_located, *ranking.bins.step_lines(share))
    pos_grad = -update.to(neg_grad.dtype)
    return _FixedGradient.apply(
        logits, value, ranking.pos_index, pos_grad, ranking.neg_index, neg_grad
    )


class _FixedGradient(torch.autograd.Function):
    """A value whose gradient on the logits is known, on the few logits where it is not 0."""

    @staticmethod
    def forward(ctx, logits, value, *parts):
        ctx.save_for_backward(*parts)
        ctx.shape = logits.shape
        return value.clone()

    @staticmethod
    def backward(ctx, grad_output):
        grad = grad_output.new_zeros(ctx.shape)
        pos_index, pos_grad, neg_index, neg_grad = ctx.saved_tensors
        grad.index_copy_(0, neg_index, neg_grad * grad_output)
        grad.index_copy_(0, pos_index, pos_grad * grad_output)
        return (grad, *[None] * 5)
