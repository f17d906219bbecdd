"""Errors l(i), targets l*(i) and normalisers Z of AP, aLRP, NDCG and Rank & Sort Loss.

Each function takes a :class:`~mmdet_alrp.ranking.relations.Ranking` and returns its
:class:`~mmdet_alrp.ranking.error_driven.ErrorTerms`; a new ranking loss is one more such function.

Reference:
    AP: Chen et al., CVPR 2019, arXiv:1904.06373. aLRP and NDCG: Oksuz et al., NeurIPS 2020,
    arXiv:2009.13592. Rank & Sort: Oksuz et al., ICCV 2021, arXiv:2107.11669.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .error_driven import ErrorTerms
from .relations import Ranking


def average_precision_terms(ranking: Ranking) -> ErrorTerms:
    """Terms of the plain AP Loss: ``l(i) = N_FP(i) / rank(i)``, ``l*(i) = 0``, ``Z = |P|``.

    Args:
        ranking: The ranking of the whole batch.
    """
    return ErrorTerms(ranking.num_fp / ranking.rank, 0.0, ranking.normalizer)


def interpolated_average_precision_terms(ranking: Ranking) -> ErrorTerms:
    """Terms of the published AP Loss: l(i) is 1 - the best precision among positives up to i.

    "Up to i" are the positives scored at or below i; l*(i) is 0 and Z the number of positives.

    Args:
        ranking: The ranking of the whole batch.
    """
    interp_precision = ranking.best_up_to(ranking.pos_rank / ranking.rank)
    return ErrorTerms(1 - interp_precision, 0.0, ranking.normalizer)


def alrp_terms(ranking: Ranking, loc_errors: Tensor) -> ErrorTerms:
    """Terms of aLRP Loss (Eq. 9-11); l*(i) is the localisation error, which ranking cannot mend.

    Args:
        ranking: The ranking of the whole batch.
        loc_errors: E(i) of the positives of this process, shape (num_local,); taken as constants.
    """
    loc_errors = ranking.all_gather(loc_errors.detach().to(ranking.num_fp.dtype))
    rank = ranking.rank
    target_errors = loc_errors / rank
    errors = (ranking.num_fp + loc_errors + ranking.sum_above(loc_errors)) / rank
    normalizer = ranking.normalizer
    loss_cls = (ranking.num_fp / rank / normalizer).sum()  # L_loc is reported on its own
    return ErrorTerms(errors, target_errors, normalizer, loss_cls)


def alrp_box_weights(ranking: Ranking, exponent: float = 1.0) -> Tensor:
    """Weights w_k of the localisation errors in aLRP's ``L_loc``, shape (num_pos,).

    ``L_loc = mean_i sum_{k: s_k >= s_i} E(k) / rank(i) = sum_k w_k E(k)`` with
    ``w_k = (1 / |P|) sum_{i: s_i <= s_k} 1 / rank(i)``. Of equal logits the first counts as higher.

    Args:
        ranking: The ranking of the whole batch.
        exponent: Exponent a >= 0 of the weights: w_k^a, scaled so that their sum in each ranking
            stays that of w_k. 1 is the published loss; 0 gives all boxes of a ranking one weight.
    """
    weights = ranking.sum_up_to(ranking.rank.reciprocal()) / ranking.normalizer
    if exponent == 1:
        return weights
    evened = weights**exponent
    return evened * (ranking.sum_by_image(weights) / ranking.sum_by_image(evened))


def ndcg_terms(ranking: Ranking) -> ErrorTerms:
    """Terms of NDCG Loss: ``l(i) = (G_max(i) - G(i)) / sum_k G_max(k)``.

    The gain is ``G(i) = 1 / log2(1 + rank(i))``. G_max runs over the ranks 1, 2, ... of a perfect
    ranking; which of them belongs to which positive matters neither to the sum of the errors nor to
    an error's distance from its target.

    Args:
        ranking: The ranking of the whole batch.
    """
    max_gain = _gain(ranking.sum_up_to(torch.ones_like(ranking.num_fp)))
    total = ranking.sum_by_image(max_gain)
    errors = (max_gain - _gain(ranking.rank)) / total
    target_errors = (max_gain - _gain(ranking.pos_rank)) / total
    return ErrorTerms(errors, target_errors, ranking.num_rankings)


def _gain(rank: Tensor) -> Tensor:
    return rank.log1p().reciprocal()  # times ln 2, which cancels


def sorting_terms(ranking: Ranking, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Sorting errors of Rank & Sort Loss above their targets, and their gradient.

    ``S(i) = sum_j H(x_ij) (1 - y_j) / rank+(i)`` over all positives j, its target S*(i) the same
    over those with ``y_j >= y_i``; the difference moves i up and the positives with a lower label
    above it down, by ``p_S(j | i) = H(x_ij) [y_j < y_i] / sum_k H(x_ik) [y_k < y_i]``.

    Args:
        ranking: The ranking of the whole batch.
        labels: y_i of the positives of this process, shape (num_local,); taken as constants.

    Returns:
        ``S(i) - S*(i)`` over Z, and the gradient on the positives, each of shape (num_pos,).
    """
    labels = ranking.all_gather(labels.detach().to(ranking.num_fp.dtype))
    invalid = labels.sum() * 0  # 0 unless a label is NaN: then the loss says so
    order = ranking.label_order(labels)
    lower, not_lower = order.sums(torch.ones_like(labels))
    lower_error, not_lower_error = order.sums(1 - labels)
    wrong = lower > 0
    # S - S* in one fraction: nothing cancels, and nothing is left where nothing is wrong.
    excess = lower_error - not_lower_error / not_lower * lower
    excess = torch.where(wrong, excess / (lower + not_lower), 0) / ranking.normalizer + invalid
    shares = excess / torch.where(wrong, lower, 1)
    return excess, order.spread_over_lower(shares) - excess


def rank_sort_ranking_terms(ranking: Ranking) -> ErrorTerms:
    """Ranking terms of Rank & Sort Loss: ``l(i) = N_FP(i) / rank(i)`` with ``H(x_ii)`` in rank+.

    Args:
        ranking: The ranking of the whole batch.
    """
    rank = ranking.rank - 1 + ranking.step_at_zero
    return ErrorTerms(ranking.num_fp / rank, 0.0, ranking.normalizer)
