"""The ranking losses as functions: one ranking in, scalars out."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .errors import (
    alrp_box_weights,
    alrp_terms,
    average_precision_terms,
    interpolated_average_precision_terms,
    ndcg_terms,
)
from .frame import ErrorTerms, Ranking, error_driven_loss


def average_precision_loss(
    logits: Tensor, targets: Tensor, delta: float = 1.0, interpolated: bool = True
) -> Tensor:
    """Average Precision (AP) loss over one ranking.

    Convention:
        All of ``logits`` is one ranking: call it once a step, on the whole batch. The result is a
        mean over the positives, in [0, 1); without positives it is 0 and still connected to the
        input. Half precision is computed in float32, float64 in float64. The gradient is the
        error-driven update, not the derivative of the value; it sums to zero.

    Args:
        logits: Scores before the sigmoid, shape (n,).
        targets: 1 positive, 0 negative, -1 ignored, integer, shape (n,).
        delta: Half-width of the smoothed step, in logits; 0 gives the hard step.
        interpolated: Take for each positive the best precision among the positives scored at or
            below it, as the published loss does; False takes its own precision.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: If shapes disagree or ``delta`` is not a finite number >= 0.
        TypeError: If ``logits`` is not floating point or ``targets`` is not an integer tensor.

    Reference:
        Chen et al., CVPR 2019, arXiv:1904.06373, Eq. 5-14; in the frame of Oksuz et al.,
        NeurIPS 2020, Section 3.
    """
    terms = interpolated_average_precision_terms if interpolated else average_precision_terms
    return _single_loss(logits, targets, delta, terms)


def alrp_loss(
    logits: Tensor, targets: Tensor, loc_errors: Tensor, delta: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Average Localisation-Recall-Precision (aLRP) loss over one ranking.

    Convention:
        All of ``logits`` is one ranking: call it once a step, on the whole batch. Both results are
        means over the positives; without positives both are 0 and still connected to the inputs.
        Half precision is computed in float32, float64 in float64. The gradient on ``logits`` is the
        error-driven update (Algorithm 1), not the derivative of the value; it sums to zero. The
        gradient on ``loc_errors`` is the derivative of ``loss_loc``, with the ranks held fixed.

    Args:
        logits: Scores before the sigmoid, shape (n,).
        targets: 1 positive, 0 negative, -1 ignored, integer, shape (n,).
        loc_errors: E(i) of the positives in the order of ``targets``, shape (num_pos,);
            0 is a perfect box, 1 a box at IoU tau.
        delta: Half-width of the smoothed step, in logits; 0 gives the hard step.

    Returns:
        ``loss_cls`` and ``loss_loc``, scalars; with ``delta=0`` their sum is the aLRP of Eq. 9.

    Raises:
        ValueError: If shapes disagree or ``delta`` is not a finite number >= 0.
        TypeError: If ``logits`` or ``loc_errors`` is not floating point, or ``targets`` is not an
            integer tensor.

    Reference:
        Oksuz et al., NeurIPS 2020, arXiv:2009.13592, Eq. 9-11, Algorithm 1, Theorem 2.
    """
    _check_ranking(logits, targets, delta)
    if not loc_errors.is_floating_point():
        raise TypeError(f'loc_errors must be floating point, got {loc_errors.dtype}')
    if loc_errors.dim() != 1:
        raise ValueError(f'loc_errors must have shape (num_pos,), got {tuple(loc_errors.shape)}')
    ranking = _rank(logits, targets, delta)
    num_pos = 0 if ranking is None else ranking.num_pos
    if len(loc_errors) != num_pos:
        raise ValueError(
            'loc_errors must have one value per positive: '
            f'expected shape ({num_pos},), got ({len(loc_errors)},)'
        )
    loc_errors = _at_least_float32(loc_errors)
    if ranking is None:
        return _zero_loss(logits), loc_errors.sum()
    loss_cls = error_driven_loss(
        _at_least_float32(logits), ranking, alrp_terms(ranking, loc_errors)
    )
    loss_loc = (alrp_box_weights(ranking).to(loc_errors.dtype) * loc_errors).sum()
    return loss_cls, loss_loc


def ndcg_loss(logits: Tensor, targets: Tensor, delta: float = 1.0) -> Tensor:
    """Normalised Discounted Cumulative Gain (NDCG) loss over one ranking.

    Convention:
        As :func:`average_precision_loss`, but the value is ``1 - DCG / best DCG`` of the ranking.

    Args:
        logits: Scores before the sigmoid, shape (n,).
        targets: 1 positive, 0 negative, -1 ignored, integer, shape (n,).
        delta: Half-width of the smoothed step, in logits; 0 gives the hard step.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: If shapes disagree or ``delta`` is not a finite number >= 0.
        TypeError: If ``logits`` is not floating point or ``targets`` is not an integer tensor.

    Reference:
        Oksuz et al., NeurIPS 2020, arXiv:2009.13592, Appendix on ranking measures.
    """
    return _single_loss(logits, targets, delta, ndcg_terms)


def _single_loss(
    logits: Tensor, targets: Tensor, delta: float, terms: Callable[[Ranking], ErrorTerms]
) -> Tensor:
    _check_ranking(logits, targets, delta)
    ranking = _rank(logits, targets, delta)
    if ranking is None:
        return _zero_loss(logits)
    return error_driven_loss(_at_least_float32(logits), ranking, terms(ranking))


def _rank(logits: Tensor, targets: Tensor, delta: float) -> Ranking | None:
    """Return the ranking, None if there is no positive."""
    pos_index = (targets == 1).nonzero().squeeze(1)
    if len(pos_index) == 0:
        return None
    return Ranking(_at_least_float32(logits), targets, delta, pos_index)


def _zero_loss(logits: Tensor) -> Tensor:
    """Return 0, with a zero gradient on the logits whatever they hold."""
    return (_at_least_float32(logits)[:0]).sum()


def _at_least_float32(values: Tensor) -> Tensor:
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _check_ranking(logits: Tensor, targets: Tensor, delta: float) -> None:
    if not logits.is_floating_point():
        raise TypeError(f'logits must be floating point, got {logits.dtype}')
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        raise TypeError(f'targets must be an integer tensor of 1, 0 and -1, got {targets.dtype}')
    if logits.dim() != 1 or logits.shape != targets.shape:
        raise ValueError(
            'logits and targets must both have shape (n,), '
            f'got {tuple(logits.shape)} and {tuple(targets.shape)}'
        )
    if not 0 <= delta < float('inf'):
        raise ValueError(f'delta must be a finite number >= 0, got {delta}')
