"""The Lovasz extension of the Jaccard loss, for many rankings at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

PIXEL_BITS = 30  # of a key that packs error, pixel and target into 63 bits


def lovasz_extension(
    scores: Tensor, is_pos: Tensor, valid: Tensor, margin: float, needed: Tensor
) -> Tensor:
    """Lovasz extension of the Jaccard loss of each row.

    Convention:
        The error of a positive is ``max(0, 1 - score)``, of a negative ``max(0, score + margin)``:
        margin 0 fits probabilities, margin 1 is the hinge. A pixel without error or that is not
        valid counts nothing and gets no gradient. A row without positives has the largest error of
        its negatives as value. The gradient is the derivative, of equal errors that of one order.

    Args:
        scores: Probabilities or logits, float32 or float64, shape (rows, pixels).
        is_pos: Whether the pixel is in the row's set, bool, shape (rows, pixels).
        valid: Whether the pixel takes part, bool, shape (1, pixels) or (rows, pixels).
        margin: See above.
        needed: Rows whose value matters, bool, shape (rows,). Others are 0.

    Returns:
        One value a row, in [0, 1] with margin 0, shape (rows,).

    Reference:
        Berman et al., CVPR 2018, arXiv:1705.08790, Eq. 8-9, Algorithm 1.
    """
    return _LovaszExtension.apply(scores, is_pos, valid, margin, needed)


class _LovaszExtension(torch.autograd.Function):
    """Keeps nothing for the way back but the gradient itself."""

    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, is_pos: Tensor, valid: Tensor, margin: float, needed: Tensor
    ) -> Tensor:
        """Sort each row and sum up; arguments as :func:`lovasz_extension`."""
        is_pos = is_pos & valid
        if scores.device.type != 'cpu':  # a choice of rows would wait for the device
            losses, grad = _value_and_grad(scores, is_pos, valid, margin)
            ctx.save_for_backward(grad.mul_(needed[:, None]))
            return losses.masked_fill(~needed, 0)
        losses, grad = _of_rows_that_matter(scores, is_pos, valid, margin, needed)
        ctx.save_for_backward(grad)
        return losses

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_losses: Tensor) -> tuple[Tensor | None, ...]:
        """Scale the gradient of each row."""
        (grad,) = ctx.saved_tensors
        return grad * grad_losses[:, None], None, None, None, None


def _of_rows_that_matter(
    scores: Tensor, is_pos: Tensor, valid: Tensor, margin: float, needed: Tensor
) -> tuple[Tensor, Tensor]:
    """Value and gradient of each row, sorting only those that are needed and have positives."""
    has_pos = is_pos.any(1)
    if bool((needed & has_pos).all()):  # nothing to choose, nothing to copy
        return _value_and_grad(scores, is_pos, valid, margin)
    losses, grad = scores.new_zeros(len(scores)), torch.zeros_like(scores)
    for chosen, solve in ((needed & has_pos, _value_and_grad), (needed & ~has_pos, _largest)):
        rows = chosen.nonzero().squeeze(1)
        if len(rows):
            allowed = valid[rows] if len(valid) > 1 else valid
            losses[rows], grad[rows] = solve(scores[rows], is_pos[rows], allowed, margin)
    return losses, grad


def _largest(scores: Tensor, is_pos: Tensor, valid: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    """Value and gradient of rows without positives, which need no sort."""
    errors = (scores + margin).clamp_(min=0).masked_fill_(~valid, 0)
    losses, place = errors.max(1)
    slopes = (losses > 0).to(errors.dtype)
    return losses, torch.zeros_like(errors).scatter_(1, place[:, None], slopes[:, None])


def _value_and_grad(
    scores: Tensor, is_pos: Tensor, valid: Tensor, margin: float
) -> tuple[Tensor, Tensor]:
    """Value and gradient of each row; ``is_pos`` is False where not valid."""
    errors = torch.where(is_pos, 1 - scores, scores + margin)
    errors = errors.clamp_(min=0).masked_fill_(~valid, 0)
    errors, order, is_pos = sort_errors(errors, is_pos)
    slopes = jaccard_slopes(is_pos, errors.dtype)
    losses = (errors * slopes).sum(1)
    slopes.masked_fill_(errors == 0, 0)
    slopes = torch.where(is_pos, -slopes, slopes)
    return losses, torch.empty_like(slopes).scatter_(1, order, slopes)


def jaccard_slopes(is_pos: Tensor, dtype: torch.dtype) -> Tensor:
    """How much the Jaccard loss grows as each pixel joins the wrong ones, shape as ``is_pos``.

    Args:
        is_pos: Whether the pixel is in the set, bool, largest error first, shape (rows, pixels).
        dtype: Of the result.
    """
    seen = is_pos.cumsum(1, dtype=torch.int32)
    num_pos = seen[:, -1:].clone()
    left = seen.neg_().add_(num_pos)  # positives that are still right, with the pixel wrong
    place = torch.arange(is_pos.shape[1], device=is_pos.device, dtype=torch.int32)
    # Union before the pixel joins: the positives and the negatives that stand before it.
    union = (left + place).add_(is_pos).to(dtype)
    # A positive takes 1 from the intersection, a negative adds 1 to the union: the differences of
    # 1 - intersection / union in closed form, since subtracting would cancel.
    negative = left.to(dtype).div_(union).div_(union + 1)
    slopes = torch.where(is_pos, union.reciprocal_(), negative)
    # Nothing to find, 0 / 0 above: any mistake at all is the whole loss.
    slopes[:, :1].masked_fill_(num_pos == 0, 1)
    return slopes


def sort_errors(errors: Tensor, is_pos: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sort each row, largest error first.

    Args:
        errors: Not negative, shape (rows, pixels).
        is_pos: Moved along, bool, shape (rows, pixels).

    Returns:
        ``errors`` and ``is_pos`` in order, and where each pixel came from, int64, all of shape
        (rows, pixels).
    """
    fits = errors.dtype == torch.float32 and errors.shape[1] <= 2**PIXEL_BITS
    if errors.device.type == 'cpu' and fits:
        return _sort_packed(errors, is_pos)
    errors, order = errors.sort(dim=1, descending=True)
    return errors, order, is_pos.gather(1, order)


def _sort_packed(errors: Tensor, is_pos: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sort keys alone: NumPy does that with vector instructions, many times as fast as pairs."""
    # The bits of floats that are not negative order as the floats do.
    keys = errors.view(torch.int32).long().neg_().add_(0x7FFFFFFF)
    keys = keys.bitwise_left_shift_(PIXEL_BITS)
    keys += torch.arange(errors.shape[1])
    keys = keys.bitwise_left_shift_(1).add_(is_pos)
    keys.numpy().sort(axis=1)
    is_pos = keys.bitwise_and(1).bool()
    errors = (keys >> (PIXEL_BITS + 1)).neg_().add_(0x7FFFFFFF).int().view(torch.float32)
    order = keys.bitwise_right_shift_(1).bitwise_and_(2**PIXEL_BITS - 1)
    return errors, order, is_pos
