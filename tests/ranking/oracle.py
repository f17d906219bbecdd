"""Brute force in float64: plain Python loops straight from the definitions of the losses.

Shares no code with the package. Ties need no care except in one place: ranks, errors and the
running maximum of the interpolated AP depend on score differences only, and tied positives have
equal precision. Only ``loss_loc`` leaves a choice (any consistent order among tied positives);
``admissible_loc_weights`` returns every reading that the definition admits.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor


class Ranking(NamedTuple):
    """Positions and scores of one ranking, with everything that all losses share."""

    pos: list[int]
    neg: list[int]
    logits: list[float]
    delta: float
    pos_rank: list[float]
    num_fp: list[float]

    @property
    def rank(self) -> list[float]:
        return [p + n for p, n in zip(self.pos_rank, self.num_fp, strict=True)]

    def pos_logits(self) -> list[float]:
        return [self.logits[k] for k in self.pos]


class Expected(NamedTuple):
    """What a loss must be, and its gradient on the logits (float64, shape (n,))."""

    loss: float
    grad: Tensor


def smoothed_step(x: float, delta: float) -> float:
    if delta == 0:
        return 1.0 if x >= 0 else 0.0
    if x < -delta:
        return 0.0
    if x > delta:
        return 1.0
    return x / (2 * delta) + 0.5


def rank_all(logits: Tensor, targets: Tensor, delta: float) -> Ranking:
    scores = logits.detach().double().tolist()
    labels = targets.tolist()
    pos = [k for k, label in enumerate(labels) if label == 1]
    neg = [k for k, label in enumerate(labels) if label == 0]
    pos_rank, num_fp = [], []
    for i in pos:
        others = [smoothed_step(scores[j] - scores[i], delta) for j in pos if j != i]
        above = [smoothed_step(scores[j] - scores[i], delta) for j in neg]
        pos_rank.append(1 + math.fsum(others))
        num_fp.append(math.fsum(above))
    return Ranking(pos, neg, scores, delta, pos_rank, num_fp)


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x)) if x >= 0 else x - math.log1p(math.exp(x))


def shares_of_negatives(ranking: Ranking, i: int, error_skew: float) -> list[float]:
    """p(j|i) proportional to sigmoid(s_j)**error_skew H(x_ij); all 0 if H is 0 everywhere."""
    scores = ranking.logits
    above = [smoothed_step(scores[j] - scores[i], ranking.delta) for j in ranking.neg]
    logs = [error_skew * log_sigmoid(scores[j]) for j in ranking.neg]
    highest = max((g for g, h in zip(logs, above, strict=True) if h), default=0.0)
    # Relative to the highest, since sigmoid(s)**g is 0 in floating point for s far below 0.
    weights = [h * math.exp(g - highest) if h else 0.0 for g, h in zip(logs, above, strict=True)]
    total = math.fsum(weights)
    return [w / total if total else 0.0 for w in weights]


def error_driven_grad(
    ranking: Ranking, surplus: list[float], normalizer: float, error_skew: float = 0.0
) -> Tensor:
    """Algorithm 1 with p(j|i) as above; ``surplus`` holds l(i) - l*(i)."""
    grad = torch.zeros(len(ranking.logits), dtype=torch.float64)
    terms: dict[int, list[float]] = {j: [] for j in ranking.neg}
    for i, num_fp, error in zip(ranking.pos, ranking.num_fp, surplus, strict=True):
        if num_fp == 0:
            continue
        grad[i] = -error / normalizer
        shares = shares_of_negatives(ranking, i, error_skew)
        for j, share in zip(ranking.neg, shares, strict=True):
            terms[j].append(error * share)
    for j, parts in terms.items():
        grad[j] = math.fsum(parts) / normalizer
    return grad


def average_precision(
    logits: Tensor,
    targets: Tensor,
    delta: float = 1.0,
    interpolated: bool = True,
    error_skew: float = 0.0,
) -> Expected:
    ranking = rank_all(logits, targets, delta)
    count = len(ranking.pos)
    if not count:
        return Expected(0.0, torch.zeros(len(ranking.logits), dtype=torch.float64))
    precision = [p / r for p, r in zip(ranking.pos_rank, ranking.rank, strict=True)]
    if interpolated:
        scores = ranking.pos_logits()
        errors = [
            1 - max(precision[k] for k in range(count) if scores[k] <= scores[i])
            for i in range(count)
        ]
    else:
        errors = [n / r for n, r in zip(ranking.num_fp, ranking.rank, strict=True)]
    grad = error_driven_grad(ranking, errors, count, error_skew)
    return Expected(math.fsum(errors) / count, grad)


def alrp_cls(
    logits: Tensor,
    targets: Tensor,
    loc_errors: Tensor,
    delta: float = 1.0,
    error_skew: float = 0.0,
) -> Expected:
    ranking = rank_all(logits, targets, delta)
    count = len(ranking.pos)
    if not count:
        return Expected(0.0, torch.zeros(len(ranking.logits), dtype=torch.float64))
    loc = loc_errors.detach().double().tolist()
    scores = ranking.pos_logits()
    surplus = []
    for i in range(count):
        others = [
            loc[k] * smoothed_step(scores[k] - scores[i], delta) for k in range(count) if k != i
        ]
        error = (ranking.num_fp[i] + loc[i] + math.fsum(others)) / ranking.rank[i]
        surplus.append(error - loc[i] / ranking.rank[i])
    value = math.fsum(n / r for n, r in zip(ranking.num_fp, ranking.rank, strict=True)) / count
    return Expected(value, error_driven_grad(ranking, surplus, count, error_skew))


def admissible_loc_weights(logits: Tensor, targets: Tensor, delta: float) -> list[Tensor]:
    """Weights w_k, sorted inside every group of tied positives, one tensor a reading of ties.

    First reading: the hard step counts equal logits, so tied positives all stand above each other.
    Second: the tied stand in some strict order. They share one rank(i), so whatever the order is,
    the weights inside a group are the same set and only their owners change.
    """
    ranking = rank_all(logits, targets, delta)
    scores, rank, count = ranking.pos_logits(), ranking.rank, len(ranking.pos)
    literal, ordered = [], []
    for k in range(count):
        below = math.fsum(1 / rank[i] for i in range(count) if scores[i] < scores[k])
        tied = [i for i in range(count) if scores[i] == scores[k]]
        literal.append((below + math.fsum(1 / rank[i] for i in tied)) / count)
        place = tied.index(k) + 1
        ordered.append((below + place / rank[k]) / count)
    return [torch.tensor(w, dtype=torch.float64) for w in (literal, ordered)]


def sort_inside_ties(weights: Tensor, pos_logits: Tensor) -> Tensor:
    """Sort ``weights`` ascending inside each group of equal logits, groups keeping their places."""
    out = weights.clone()
    for score in set(pos_logits.tolist()):
        places = (pos_logits == score).nonzero().flatten()
        out[places] = weights[places].sort().values
    return out


def ndcg(logits: Tensor, targets: Tensor, delta: float = 1.0, error_skew: float = 0.0) -> Expected:
    ranking = rank_all(logits, targets, delta)
    count = len(ranking.pos)
    if not count:
        return Expected(0.0, torch.zeros(len(ranking.logits), dtype=torch.float64))
    best = [1 / math.log2(1 + k) for k in range(1, count + 1)]
    total = math.fsum(best)
    gain = [1 / math.log2(1 + r) for r in ranking.rank]
    errors = [(b - g) / total for b, g in zip(best, gain, strict=True)]
    targets_ = [
        (b - 1 / math.log2(1 + p)) / total for b, p in zip(best, ranking.pos_rank, strict=True)
    ]
    surplus = [e - t for e, t in zip(errors, targets_, strict=True)]
    grad = error_driven_grad(ranking, surplus, 1.0, error_skew)
    return Expected(1 - math.fsum(gain) / total, grad)


def rank_sort(
    logits: Tensor, targets: Tensor, ious: Tensor, delta: float = 0.5, error_skew: float = 0.0
) -> tuple[Expected, Expected]:
    """Ranking and sorting part of Rank & Sort; in this loss H(x_ii) stays in rank+(i)."""
    plain = rank_all(logits, targets, delta)
    own = smoothed_step(0.0, delta)
    ranking = plain._replace(pos_rank=[r - 1 + own for r in plain.pos_rank])
    count = len(ranking.pos)
    nothing = Expected(0.0, torch.zeros(len(ranking.logits), dtype=torch.float64))
    if not count:
        return nothing, nothing
    errors = [n / r for n, r in zip(ranking.num_fp, ranking.rank, strict=True)]
    rank_grad = error_driven_grad(ranking, errors, count, error_skew)

    labels, scores = ious.detach().double().tolist(), ranking.pos_logits()
    surplus = []
    sort_grad = torch.zeros_like(rank_grad)
    for i in range(count):
        steps = [smoothed_step(scores[j] - scores[i], delta) for j in range(count)]
        wrong = [h if labels[j] < labels[i] else 0.0 for j, h in enumerate(steps)]
        right = [h if labels[j] >= labels[i] else 0.0 for j, h in enumerate(steps)]
        if not any(wrong):  # nothing to sort: error and target are the same sum
            surplus.append(0.0)
            continue
        current = math.fsum(h * (1 - y) for h, y in zip(steps, labels, strict=True))
        target = math.fsum(h * (1 - y) for h, y in zip(right, labels, strict=True))
        surplus.append(current / ranking.pos_rank[i] - target / math.fsum(right))
        sort_grad[ranking.pos[i]] -= surplus[i] / count
        for j, h in enumerate(wrong):
            sort_grad[ranking.pos[j]] += surplus[i] * h / math.fsum(wrong) / count
    value = math.fsum(errors) / count
    return Expected(value, rank_grad), Expected(math.fsum(surplus) / count, sort_grad)


def one_ranking_an_image(
    loss: Callable[[Tensor, Tensor, Tensor], Expected],
    case: tuple[Tensor, Tensor, Tensor],
    images: Tensor,
    num_images: int,
) -> Expected:
    """Mean over all images, ranked one by one; the third part of ``case`` is for the positives."""
    logits, targets, of_positives = case
    value, grad = 0.0, torch.zeros(len(logits), dtype=torch.float64)
    for image in range(num_images):
        mine = [k for k, owner in enumerate(images.tolist()) if owner == image]
        owners = images[targets == 1].tolist()
        mine_pos = [k for k, owner in enumerate(owners) if owner == image]
        found = loss(logits[mine], targets[mine], of_positives[mine_pos])
        value += found.loss / num_images
        grad[mine] = found.grad / num_images
    return Expected(value, grad)
