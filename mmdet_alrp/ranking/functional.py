"""The ranking losses as functions: rankings in, scalars out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from .checks import checked_labels
from .error_driven import (
    ErrorTerms,
    at_least_float32,
    error_driven_loss,
    known_gradient,
    zero_loss,
)
from .errors import (
    alrp_box_weights,
    alrp_terms,
    average_precision_terms,
    interpolated_average_precision_terms,
    ndcg_terms,
    rank_sort_ranking_terms,
    sorting_terms,
)
from .options import RankingOptions
from .outside_graphs import outside_graphs
from .ranking_building import build_ranking
from .relations import Ranking

if TYPE_CHECKING:  # some builds of torch come without it
    from torch.distributed import ProcessGroup


@outside_graphs
def average_precision_loss(
    logits: Tensor,
    targets: Tensor,
    delta: float = 1.0,
    interpolated: bool = True,
    *,
    error_skew: float = 0.0,
    images: Tensor | None = None,
    num_images: int | None = None,
    group: ProcessGroup | bool | None = None,
) -> Tensor:
    """Average Precision (AP) loss over one ranking.

    Convention:
        All of ``logits`` is one ranking: call it once a step, on the whole batch. The result is a
        mean over the positives, in [0, 1); without positives it is 0 and still connected to the
        input. Half precision is computed in float32, float64 in float64. The gradient is the
        error-driven update, not the derivative of the value; it sums to zero.

        With ``images`` there is one ranking an image, and the result is the mean over all images;
        one without a positive counts 0. With ``group`` there is one ranking over all processes:
        each of them gets the value of the whole batch, and the gradient of it on its own logits.
        All processes must call the function, those without a logit too.

    Args:
        logits: Scores before the sigmoid, shape (n,).
        targets: 1 positive, 0 negative, -1 ignored, integer, shape (n,).
        delta: Half-width of the smoothed step, in logits; 0 gives the hard step.
        interpolated: Take for each positive the best precision among the positives scored at or
            below it, as the published loss does; False takes its own precision.
        error_skew: Exponent g of ``p(j | i) ~ sigmoid(s_j)^g H(x_ij)``; 0 is as published.
        images: Image of each logit, 0 <= image < ``num_images``, integer, shape (n,), for one
            ranking an image; None is one ranking over all logits.
        num_images: Number of images; needed with ``images``.
        group: Process group of ``torch.distributed`` that ranks together, or True for the default
            one; None ranks in this process alone.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: If shapes disagree, ``delta`` or ``error_skew`` is not a finite number >= 0,
            or ``images`` comes without ``num_images`` or together with ``group``.
        TypeError: If ``logits`` is not floating point, or ``targets`` or ``images`` is not an
            integer tensor.

    Reference:
        Chen et al., CVPR 2019, arXiv:1904.06373, Eq. 5-14; in the frame of Oksuz et al.,
        NeurIPS 2020, Section 3.
    """
    terms = interpolated_average_precision_terms if interpolated else average_precision_terms
    options = RankingOptions(error_skew, images, num_images, group)
    return _single_loss(logits, targets, delta, terms, options)


@outside_graphs
def alrp_loss(
    logits: Tensor,
    targets: Tensor,
    loc_errors: Tensor,
    delta: float = 1.0,
    *,
    error_skew: float = 0.0,
    images: Tensor | None = None,
    num_images: int | None = None,
    group: ProcessGroup | bool | None = None,
) -> tuple[Tensor, Tensor]:
    """Average Localisation-Recall-Precision (aLRP) loss over one ranking.

    Convention:
        All of ``logits`` is one ranking: call it once a step, on the whole batch. Both results
        are means over the positives.
        Without positives the result is 0 and still connected to the input. Half precision is
        computed in float32, float64 in float64. The gradient on ``logits`` is the
        error-driven update (Algorithm 1), not the derivative of the value; it sums to zero. The
        gradient on ``loc_errors`` is the derivative of ``loss_loc``, with the ranks held fixed.

        With ``images`` there is one ranking an image, and the result is the mean over all images;
        one without a positive counts 0. With ``group`` there is one ranking over all processes:
        each of them gets the value of the whole batch, and the gradient of it on its own logits.
        All processes must call the function, those without a logit too.

    Args:
        logits: Scores before the sigmoid, shape (n,).
        targets: 1 positive, 0 negative, -1 ignored, integer, shape (n,).
        loc_errors: E(i) of the positives in the order of ``targets``, shape (num_pos,);
            0 is a perfect box; in the form ``(1 - IoU) / (1 - tau)``, 1 is a box at IoU tau.
        delta: Half-width of the smoothed step, in logits; 0 gives the hard step.
        error_skew: Exponent g of ``p(j | i) ~ sigmoid(s_j)^g H(x_ij)``; 0 is as published.
        images: Image of each logit, 0 <= image < ``num_images``, integer, shape (n,), for one
            ranking an image; None is one ranking over all logits.
        num_images: Number of images; needed with ``images``.
        group: Process group of ``torch.distributed`` that ranks together, or True for the default
            one; None ranks in this process alone.

    Returns:
        ``loss_cls`` and ``loss_loc``, scalars; with ``delta=0`` their sum is the aLRP of Eq. 9.

    Raises:
        ValueError: If shapes disagree, ``delta`` or ``error_skew`` is not a finite number >= 0,
            or ``images`` comes without ``num_images`` or together with ``group``.
        TypeError: If ``logits`` or ``loc_errors`` is not floating point, or ``targets`` or
            ``images`` is not an integer tensor.

    Reference:
        Oksuz et al., NeurIPS 2020, arXiv:2009.13592, Eq. 9-11, Algorithm 1, Theorem 2.
    """
    options = RankingOptions(error_skew, images, num_images, group)
    ranking = build_ranking(logits, targets, delta, options, loc_errors=loc_errors)
    loc_errors = at_least_float32(loc_errors)
    if ranking is None:
        return zero_loss(logits), loc_errors.sum()
    loss_cls = error_driven_loss(logits, ranking, alrp_terms(ranking, loc_errors))
    return loss_cls, ranking.weighted_sum(alrp_box_weights(ranking), loc_errors)


@outside_graphs
def ndcg_loss(
    logits: Tensor,
    targets: Tensor,
    delta: float = 1.0,
    *,
    error_skew: float = 0.0,
    images: Tensor | None = None,
    num_images: int | None = None,
    group: ProcessGroup | bool | None = None,
) -> Tensor:
    """Normalised Discounted Cumulative Gain (NDCG) loss over one ranking.

    Convention:
        All of ``logits`` is one ranking: call it once a step, on the whole batch. The value is
        ``1 - DCG / best DCG`` of the ranking.
        Without positives the result is 0 and still connected to the input. Half precision is
        computed in float32, float64 in float64. The gradient is the error-driven
        update, not the derivative of the value; it sums to zero.

        With ``images`` there is one ranking an image, and the result is the mean over all images;
        one without a positive counts 0. With ``group`` there is one ranking over all processes:
        each of them gets the value of the whole batch, and the gradient of it on its own logits.
        All processes must call the function, those without a logit too.

    Args:
        logits: Scores before the sigmoid, shape (n,).
        targets: 1 positive, 0 negative, -1 ignored, integer, shape (n,).
        delta: Half-width of the smoothed step, in logits; 0 gives the hard step.
        error_skew: Exponent g of ``p(j | i) ~ sigmoid(s_j)^g H(x_ij)``; 0 is as published.
        images: Image of each logit, 0 <= image < ``num_images``, integer, shape (n,), for one
            ranking an image; None is one ranking over all logits.
        num_images: Number of images; needed with ``images``.
        group: Process group of ``torch.distributed`` that ranks together, or True for the default
            one; None ranks in this process alone.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: If shapes disagree, ``delta`` or ``error_skew`` is not a finite number >= 0,
            or ``images`` comes without ``num_images`` or together with ``group``.
        TypeError: If ``logits`` is not floating point, or ``targets`` or ``images`` is not an
            integer tensor.

    Reference:
        Oksuz et al., NeurIPS 2020, arXiv:2009.13592, Appendix on ranking measures.
    """
    options = RankingOptions(error_skew, images, num_images, group)
    return _single_loss(logits, targets, delta, ndcg_terms, options)


@outside_graphs
def rank_sort_loss(
    logits: Tensor,
    targets: Tensor,
    ious: Tensor,
    delta: float = 0.5,
    *,
    error_skew: float = 0.0,
    images: Tensor | None = None,
    num_images: int | None = None,
    group: ProcessGroup | bool | None = None,
) -> tuple[Tensor, Tensor]:
    """Rank & Sort Loss: positives above negatives, and among positives by their IoU.

    Convention:
        All of ``logits`` is one ranking: call it once a step, on the whole batch. Both results
        are means over the positives.
        Without positives the result is 0 and still connected to the input. Half precision is
        computed in float32, float64 in float64. Each of them has an error-driven
        update of its own as gradient on ``logits``, which sums to zero; that of the second is on
        the positives only. ``ious`` is a label and gets no gradient. The published code ranks a
        positive with an IoU of exactly 0 as a negative; here, say so in ``targets``
        (:func:`build_ranking_by_iou` does, and so does the registered loss).

        With ``images`` there is one ranking an image, and the result is the mean over all images;
        one without a positive counts 0. With ``group`` there is one ranking over all processes:
        each of them gets the value of the whole batch, and the gradient of it on its own logits.
        All processes must call the function, those without a logit too.

    Args:
        logits: Scores before the sigmoid, shape (n,).
        targets: 1 positive, 0 negative, -1 ignored, integer, shape (n,).
        ious: Labels of the positives in the order of ``targets``, in [0, 1], shape (num_pos,).
            Off the CPU, where a check would wait for the device, others give a loss of NaN.
        delta: Half-width of the smoothed step, in logits; 0 gives the hard step.
        error_skew: Exponent g of ``p(j | i) ~ sigmoid(s_j)^g H(x_ij)``, for the ranking errors; 0
            is as published.
        images: Image of each logit, 0 <= image < ``num_images``, integer, shape (n,), for one
            ranking an image; None is one ranking over all logits.
        num_images: Number of images; needed with ``images``.
        group: Process group of ``torch.distributed`` that ranks together, or True for the default
            one; None ranks in this process alone.

    Returns:
        ``loss_rank``, the mean ranking error, and ``loss_sort``, the mean sorting error above its
        target, scalars.

    Raises:
        ValueError: If shapes disagree, ``delta`` or ``error_skew`` is not a finite number >= 0,
            or ``images`` comes without ``num_images`` or together with ``group``; on
            the CPU also if an IoU is outside [0, 1].
        TypeError: If ``logits`` or ``ious`` is not floating point, or ``targets`` or ``images``
            is not an integer tensor.

    Reference:
        Oksuz et al., ICCV 2021, arXiv:2107.11669, Eq. 3-8.
    """
    options = RankingOptions(error_skew, images, num_images, group)
    ranking = build_ranking(logits, targets, delta, options, ious=ious)
    ious = checked_labels(ious)
    if ranking is None:
        return zero_loss(logits), zero_loss(logits)
    return rank_sort_losses(logits, ranking, ious)


def rank_sort_losses(logits: Tensor, ranking: Ranking, ious: Tensor) -> tuple[Tensor, Tensor]:
    """Rank & Sort Loss on a ranking that is there already; see :func:`rank_sort_loss`.

    Args:
        logits: What was ranked, shape (n,).
        ranking: The ranking of ``logits``.
        ious: Labels of the positives of this process, in [0, 1], shape (num_local,).

    Returns:
        ``loss_rank`` and ``loss_sort``, scalars.
    """
    logits = at_least_float32(logits)  # the gradients of both are added up
    loss_rank = error_driven_loss(logits, ranking, rank_sort_ranking_terms(ranking))
    excess, pos_grad = sorting_terms(ranking, at_least_float32(ious))
    spread = ranking.spread_among_positives(-pos_grad)
    return loss_rank, known_gradient(logits, excess.sum(), ranking, spread)


def _single_loss(
    logits: Tensor,
    targets: Tensor,
    delta: float,
    terms: Callable[[Ranking], ErrorTerms],
    options: RankingOptions,
) -> Tensor:
    ranking = build_ranking(logits, targets, delta, options)
    if ranking is None:
        return zero_loss(logits)
    return error_driven_loss(logits, ranking, terms(ranking))
