"""Sigmoid focal loss as two kernels of Triton: what a ranking loss is to be no slower than."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024
ALPHA = 0.25  # gamma is 2


@triton.jit
def _terms(logits, targets, count, SIZE: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * SIZE + tl.arange(0, SIZE)
    inside = at < count
    value = tl.load(logits + at, mask=inside, other=0.0).to(tl.float32)
    positive = tl.load(targets + at, mask=inside, other=0) == 1
    signed = tl.where(positive, value, -value)  # log(p_t) = log(sigmoid(signed))
    decay = tl.exp(-tl.abs(signed))
    log_right = tl.minimum(signed, 0.0) - tl.log(1.0 + decay)
    wrong = tl.where(signed >= 0, decay, 1.0) / (1.0 + decay)
    return at, inside, positive, log_right, wrong


@triton.jit
def _forward(logits, targets, count, sums, ALPHA: tl.constexpr, SIZE: tl.constexpr):
    _, inside, positive, log_right, wrong = _terms(logits, targets, count, SIZE)
    loss = -tl.where(positive, ALPHA, 1.0 - ALPHA) * wrong * wrong * log_right
    tl.store(sums + tl.program_id(0), tl.sum(tl.where(inside, loss, 0.0), 0))


@triton.jit
def _backward(logits, targets, count, scale, gradient, ALPHA: tl.constexpr, SIZE: tl.constexpr):
    at, inside, positive, log_right, wrong = _terms(logits, targets, count, SIZE)
    weight = tl.where(positive, ALPHA, 1.0 - ALPHA) * scale
    # d/dx of -(1 - p)^2 log p with p = sigmoid(x), then the sign of x in the logit
    slope = wrong * wrong * (2.0 * (1.0 - wrong) * log_right - wrong)
    result = weight * tl.where(positive, slope, -slope)
    tl.store(gradient + at, result.to(gradient.dtype.element_ty), mask=inside)


def focal_gradient(logits: Tensor, targets: Tensor, num_pos: int) -> tuple[Tensor, Tensor]:
    """Return the loss, a scalar, and its gradient on the logits, shape (n,).

    Args:
        logits: Scores before the sigmoid, shape (n,).
        targets: 1 positive, any other number negative, integer, shape (n,).
        num_pos: What the sum is divided by.
    """
    logits = logits.detach()
    programs = triton.cdiv(len(logits), BLOCK)
    sums = torch.empty(programs, device=logits.device)
    gradient = torch.empty_like(logits)
    settings = {'ALPHA': ALPHA, 'SIZE': BLOCK}
    _forward[(programs,)](logits, targets, len(logits), sums, **settings)
    _backward[(programs,)](logits, targets, len(logits), 1.0 / num_pos, gradient, **settings)
    return sums.sum() / num_pos, gradient
