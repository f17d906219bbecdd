"""AP, aLRP and NDCG as errors l(i), targets l*(i) and normalisers Z of one frame.

Each function takes a :class:`~mmdet_alrp.ranking.frame.Ranking` and returns its
:class:`~mmdet_alrp.ranking.frame.ErrorTerms`; a new ranking loss is one more such function.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .frame import ErrorTerms, Ranking


def average_precision_terms(ranking: Ranking) -> ErrorTerms:
    """AP Loss, plain form: ``l(i) = N_FP(i) / rank(i)``, target 0, ``Z = |P|``."""
    return ErrorTerms(ranking.num_fp / ranking.rank, 0.0, ranking.num_pos)


def interpolated_average_precision_terms(ranking: Ranking) -> ErrorTerms:
    """AP Loss as published: l(i) is 1 - the best precision of a positive scored at or below i."""
    precision = ranking.pos_rank / ranking.rank
    order = ranking.pos_logits.argsort(stable=True)
    interp_precision = torch.empty_like(precision)
    interp_precision[order] = precision[order].cummax(0).values
    return ErrorTerms(1 - interp_precision, 0.0, ranking.num_pos)


def alrp_terms(ranking: Ranking, loc_errors: Tensor) -> ErrorTerms:
    """Errors of aLRP (Eq. 9-11): the target is the localisation error that ranking cannot mend.

    Args:
        ranking: The ranking of the whole batch.
        loc_errors: E(i), shape (num_pos,); taken as constants.
    """
    loc_errors = loc_errors.detach().to(ranking.num_fp.dtype)
    rank = ranking.rank
    target_errors = loc_errors / rank
    errors = (ranking.num_fp + loc_errors + ranking.sum_above(loc_errors)) / rank
    loss_cls = (ranking.num_fp / rank).mean()  # the localisation part is reported on its own
    return ErrorTerms(errors, target_errors, ranking.num_pos, loss_cls)


def alrp_box_weights(ranking: Ranking) -> Tensor:
    """Weights w_k of the localisation errors in aLRP's ``L_loc``, shape (num_pos,).

    ``L_loc = mean_i sum_{k: s_k >= s_i} E(k) / rank(i) = sum_k w_k E(k)`` with
    ``w_k = (1 / |P|) sum_{i: s_i <= s_k} 1 / rank(i)``. Of equal logits the first counts as higher.
    """
    order = ranking.pos_logits.flip(0).argsort(stable=True)
    order = ranking.num_pos - 1 - order  # ascending, and of equals the last first
    weights = torch.empty_like(ranking.pos_logits)
    weights[order] = ranking.rank.reciprocal()[order].cumsum(0) / ranking.num_pos
    return weights


def ndcg_terms(ranking: Ranking) -> ErrorTerms:
    """NDCG Loss: ``l(i) = (G_max(i) - G(i)) / sum_k G_max(k)``, ``G(i) = 1 / log2(1 + rank(i))``.

    G_max runs over the ranks 1, 2, ... of a perfect ranking; which of them belongs to which
    positive matters neither to the sum of the errors nor to an error's distance from its target.
    """
    places = torch.arange(1, ranking.num_pos + 1, device=ranking.num_fp.device)
    max_gain = _gain(places.to(ranking.num_fp.dtype))
    total = max_gain.sum()
    errors = (max_gain - _gain(ranking.rank)) / total
    target_errors = (max_gain - _gain(ranking.pos_rank)) / total
    return ErrorTerms(errors, target_errors, 1)


def _gain(rank: Tensor) -> Tensor:
    return (1 + rank).log2().reciprocal()
