"""Another way to rank, to be timed: buckets of negatives.

Bucketing sorts all logits and treats the run of negatives between two neighbouring positives as one
negative, with the mean of their logits and their number. P positives then meet at most P + 1
buckets, in a matrix, and what a bucket gets is shared equally by its members. With the hard step
(delta = 0) nothing is lost, unless a negative has exactly the logit of a positive.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Buckets(NamedTuple):
    """A sorted ranking, negatives as runs between positives.

    Attributes:
        order: Place of each sorted logit in the input, highest logit first, int64, shape (n,).
        pos_logits: Logits of the positives, descending, shape (num_pos,).
        pos_order: Each of them in the order of the targets, int64, shape (num_pos,).
        means: Mean logit of each bucket, float64, shape (num_pos + 1,); 0 in an empty one.
        counts: Negatives in each bucket, int64, shape (num_pos + 1,).
    """

    order: Tensor
    pos_logits: Tensor
    pos_order: Tensor
    means: Tensor
    counts: Tensor

    def num_above(self) -> tuple[Tensor, Tensor]:
        """Compare all positives with all buckets by the hard step.

        Returns:
            The matrix of steps, shape (num_pos, num_pos + 1), and the number of negatives above
            each positive, shape (num_pos,).
        """
        steps = (self.means >= self.pos_logits[:, None]).to(self.pos_logits.dtype)
        return steps, steps @ self.counts.to(steps.dtype)

    def steps_among_positives(self) -> Tensor:
        """Hard steps of positives (columns) over positives (rows), each also over itself."""
        return (self.pos_logits >= self.pos_logits[:, None]).to(self.pos_logits.dtype)

    def gradient(self, pos_grad: Tensor, member_grad: Tensor) -> Tensor:
        """Hand a gradient back to the unsorted logits, shape (n,).

        Args:
            pos_grad: Of the positives, highest first, shape (num_pos,).
            member_grad: Of each single member of a bucket, shape (num_pos + 1,).
        """
        values = torch.stack([member_grad[:-1], pos_grad], 1).flatten()
        lengths = torch.stack([self.counts[:-1], torch.ones_like(self.counts[1:])], 1).flatten()
        values = torch.cat([values, member_grad[-1:]])
        lengths = torch.cat([lengths, self.counts[-1:]])
        num_logits = len(self.order)
        in_order = values.repeat_interleave(lengths, output_size=num_logits)
        return torch.empty_like(in_order).index_copy_(0, self.order, in_order)


def bucket(logits: Tensor, targets: Tensor) -> Buckets:
    """Sort all logits and find the runs of negatives.

    Args:
        logits: Shape (n,).
        targets: 1 positive, 0 negative, -1 ignored, shape (n,); with at least one positive.
    """
    scores = logits.detach().masked_fill(targets < 0, -torch.inf)  # ignored: below every positive
    scores, order = scores.sort(descending=True)
    places = (targets[order] == 1).nonzero().squeeze(1)
    starts = torch.cat([places.new_zeros(1), places + 1])
    ends = torch.cat([places, places.new_full((1,), len(scores))])
    counts = ends - starts
    sums = scores.cumsum(0, dtype=torch.float64)
    sums = torch.cat([sums.new_zeros(1), sums])
    means = (sums[ends] - sums[starts]) / counts.clamp(min=1)
    # From the order by logit to that of the targets, which is the order of the places in the input
    pos_order = order[places].argsort().argsort()
    return Buckets(order, scores[places], pos_order, means, counts)


def bucketed_ap(logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """AP loss, interpolated, with the hard step: its value and its gradient on the logits."""
    buckets = bucket(logits, targets)
    steps, num_fp = buckets.num_above()
    pos_rank = buckets.steps_among_positives().sum(1)
    precision = pos_rank / (pos_rank + num_fp)
    # The best precision at or below each positive; the highest one stands first.
    errors = 1 - precision.flip(0).cummax(0).values.flip(0)
    return errors.mean(), _ranking_gradient(buckets, steps, num_fp, errors)


def bucketed_rank_sort(logits: Tensor, targets: Tensor, ious: Tensor) -> tuple[Tensor, Tensor]:
    """Rank & Sort loss with the hard step: value of both parts together, and their gradient.

    Args:
        logits: Shape (n,).
        targets: 1 positive, 0 negative, -1 ignored, shape (n,).
        ious: Labels of the positives in the order of ``targets``, shape (num_pos,).
    """
    buckets = bucket(logits, targets)
    steps, num_fp = buckets.num_above()
    among = buckets.steps_among_positives()
    pos_rank = among.sum(1)
    errors = num_fp / (pos_rank + num_fp)

    labels = ious.to(among.dtype)[buckets.pos_order]
    not_lower = among * (labels >= labels[:, None])
    lower = among - not_lower
    sorting = among @ (1 - labels) / pos_rank
    excess = sorting - not_lower @ (1 - labels) / not_lower.sum(1)
    num_lower = lower.sum(1)
    excess = torch.where(num_lower > 0, excess, 0)
    sort_grad = (excess / num_lower.clamp(min=1)) @ lower - excess

    grad = _ranking_gradient(buckets, steps, num_fp, errors, sort_grad)
    return errors.mean() + excess.mean(), grad


def _ranking_gradient(
    buckets: Buckets, steps: Tensor, num_fp: Tensor, errors: Tensor, extra: Tensor | float = 0.0
) -> Tensor:
    """Error-driven gradient: positives up by their errors, buckets down by their shares."""
    errors = torch.where(num_fp > 0, errors, 0)
    shares = errors / num_fp.clamp(min=1)
    num_pos = len(errors)
    return buckets.gradient((extra - errors) / num_pos, shares @ steps / num_pos)
