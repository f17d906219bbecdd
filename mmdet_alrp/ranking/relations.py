"""Ranks and false-positive counts of every positive in a batch, and the error distribution."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from .collectives import Processes
from .label_comparison import LabelOrder, PairedLabelOrder, label_order
from .options import RankingOptions
from .segments import ascending, running_sums, segment_cumsum, sums_by_segment
from .spreads import Spread, fill_by_index
from .step_sums import Located, StepBins


class Ranking:
    """Ranks and false-positive counts of every positive in a batch, without an autograd graph.

    :func:`build_ranking` makes one. Usually it is one ranking. With ``options.images`` it is one an
    image, and with ``options.group`` the positives are those of all processes, while negatives stay
    where they are.

    Args:
        logits: float32 or float64, shape (n,).
        targets: 1 positive, 0 negative, -1 ignored, shape (n,).
        delta: Half-width of the smoothed step H.
        pos_index: Where the positives stand in ``logits``, shape (num_local,).
        options: Images, processes and error distribution.
        processes: The processes that rank together, which must have a positive among them; None
            for one process, where ``pos_index`` must not be empty.

    Attributes:
        delta: As given.
        pos_index: As given.
        bins: Bins of all steps; where the negatives are counted.
        neg_index: Where the negatives stand that are above the foot of some positive's step. No
            other negative has an effect.
        pos_logits: s_i of the positives in the order of ``targets``, float64, shape (num_pos,).
        pos_images: Image of each positive, int64, shape (num_pos,); None for one ranking.
        pos_rank: rank+(i), the rank among the positives, shape (num_pos,); 1 is the best.
        num_fp: N_FP(i), the smoothed number of negatives above i, shape (num_pos,).
        step_at_zero: H(0), how far a positive stands above itself.
    """

    reads_half = False  # whether logits in half precision are taken as they are

    def __init__(
        self,
        logits: Tensor,
        targets: Tensor,
        delta: float,
        pos_index: Tensor,
        options: RankingOptions,
        processes: Processes | None = None,
    ) -> None:
        logits = logits.detach()
        self._logits = logits
        self.delta = delta
        self.pos_index = pos_index
        self._processes = processes
        self._num_rankings = 1 if options.images is None else options.num_images
        pos_logits = self.all_gather(logits.index_select(0, pos_index))
        self.pos_images = None
        if options.images is not None:
            self.pos_images = options.images.index_select(0, pos_index).long()
        self.bins = StepBins(pos_logits, delta, self.pos_images, self._num_rankings)
        self.pos_logits = pos_logits.to(self.bins.edges.dtype)
        self._pos_located = self.bins.locate(pos_logits, self.pos_images)
        self.step_at_zero = 1.0 if delta == 0 else 0.5
        self.pos_rank = 1 + self.sum_above(torch.ones_like(self.pos_logits))

        invalid = pos_logits.sum() * 0 + self._place_negatives(logits, targets, options)
        self._neg_weights = self._error_weights(logits, options)
        mass, moment = self._sum(torch.stack(self.bins.histogram(self._neg_located)))
        # 0 unless a logit is NaN or infinite: then the loss says so instead of hiding it.
        self.num_fp = self.bins.sum_steps(mass, moment).clamp(min=0) + self._sum(invalid)
        self._spread = self.num_fp
        if self._neg_weights is not None:
            tables = self.bins.histogram(self._neg_located, self._neg_weights)
            self._spread = self.bins.sum_steps(*self._sum(torch.stack(tables))).clamp(min=0)

    def _place_negatives(self, logits: Tensor, targets: Tensor, options: RankingOptions) -> Tensor:
        """Find and place the negatives that matter; return 0, or NaN if one is NaN or infinite."""
        below_all = logits < self.bins.value_edges.min()
        # Said by what is left out, so that a NaN among the negatives stays in and is seen.
        self.neg_index = below_all.logical_not_().logical_and_(targets == 0).nonzero().squeeze(1)
        neg_logits = logits.index_select(0, self.neg_index)
        invalid = neg_logits.sum() * 0
        self._neg_images = None
        if options.images is not None:
            self._neg_images = options.images.index_select(0, self.neg_index)
        located: Located = self.bins.locate(neg_logits, self._neg_images)
        if options.images is not None:
            first_bins = self.bins.first_bins().index_select(0, self._neg_images.int())
            kept = (located.bins > first_bins).nonzero().squeeze(1)
            self.neg_index = self.neg_index.index_select(0, kept)
            self._neg_images = self._neg_images.index_select(0, kept)
            located = Located(
                *(part if part is None else part.index_select(0, kept) for part in located)
            )
        self._neg_located = located
        return invalid

    def _error_weights(self, logits: Tensor, options: RankingOptions) -> Tensor | None:
        """Weigh the negatives for the error distribution; the hardest of a ranking weighs 1."""
        if options.error_skew == 0:
            return None
        log_weights = logsigmoid(logits.index_select(0, self.neg_index))
        hardest = log_weights.new_full((self._num_rankings,), -torch.inf)
        if self._neg_images is not None:
            hardest.scatter_reduce_(0, self._neg_images.long(), log_weights, 'amax')
        elif len(log_weights):
            hardest = log_weights.max()[None]
        if self._processes is not None:
            hardest = self._processes.max(hardest)
        if self._neg_images is not None:
            hardest = hardest.index_select(0, self._neg_images.int())
        return log_weights.sub_(hardest).mul_(options.error_skew).exp_()

    @property
    def num_pos(self) -> int:
        """Number of positives."""
        return len(self.pos_logits)

    @cached_property
    def all_finite(self) -> Tensor:
        """Whether all logits of this process are finite, those that take no part too, a scalar."""
        return self._logits.isfinite().all()

    @property
    def rank(self) -> Tensor:
        """Rank of each positive among positives and negatives, shape (num_pos,)."""
        return self.pos_rank + self.num_fp

    @property
    def num_rankings(self) -> int:
        """Number of rankings of which the loss is the mean; some may have no positive."""
        return self._num_rankings

    @property
    def normalizer(self) -> Tensor | float:
        """Z of a mean over the positives: their number, or (num_pos,) for a ranking an image."""
        if self.pos_images is None:
            return float(self.num_pos)
        return self.sum_by_image(torch.ones_like(self.pos_logits)) * self._num_rankings

    def sum_by_image(self, values: Tensor) -> Tensor:
        """Give every positive the sum over the positives of its ranking, shape (num_pos,).

        Args:
            values: Shape (num_pos,).
        """
        if self.pos_images is None:
            return values.sum().expand(self.num_pos)
        return sums_by_segment(values, self.pos_images, self._num_rankings)[self.pos_images]

    def sum_above(self, values: Tensor) -> Tensor:
        """Return ``sum_{k != i} values(k) H(x_ik)`` over the positives k, shape (num_pos,).

        Args:
            values: Shape (num_pos,).
        """
        sums = self.bins.sum_steps(*self.bins.histogram(self._pos_located, values))
        return sums - self.step_at_zero * values.to(sums.dtype)

    def ascending(self) -> tuple[Tensor, Tensor | None]:
        """Sort the positives as :func:`~mmdet_alrp.ranking.segments.ascending` does."""
        return ascending(self.pos_logits, self.pos_images)

    def sum_up_to(self, values: Tensor) -> Tensor:
        """Return the sum of ``values`` over the positives scored at or below i, shape (num_pos,).

        The step is hard; of equal logits the first counts as higher.

        Args:
            values: Shape (num_pos,).
        """
        order, start = self.ascending()
        sums = torch.empty_like(values)
        sorted_values = values[order]
        sums[order] = (
            running_sums(sorted_values) if start is None else segment_cumsum(sorted_values, start)
        )
        return sums

    def best_up_to(self, values: Tensor) -> Tensor:
        """Return the largest of ``values`` among the positives scored at or below i, (num_pos,).

        Args:
            values: In [0, 1], shape (num_pos,).
        """
        order, _ = self.ascending()
        best = values[order]
        if self.pos_images is None:
            best = best.cummax(0).values
        else:
            # Rankings stand one behind the other: lift each above all before it.
            lift = 2.0 * self.pos_images[order]
            best = (best + lift).cummax(0).values - lift
        result = torch.empty_like(values)
        result[order] = best
        return result

    def label_order(self, labels: Tensor) -> PairedLabelOrder | LabelOrder:
        """Compare the positives by score and by label.

        Args:
            labels: y_i, in the dtype of ``num_fp``, shape (num_pos,).
        """
        return label_order(self.pos_logits, labels, self.delta, self.pos_images, self._num_rankings)

    def spread(self, update: Tensor) -> Spread:
        """Prepare the gradient that moves positives up, and the negatives above them down.

        Args:
            update: How much each positive is to move, shape (num_pos,); one that stands above
                every negative is left alone.
        """
        update = torch.where(self.num_fp == 0, 0, update)  # NaN stays, for a loss scaler to see
        of_negatives = (self.neg_index, self.spread_over_negatives(update))
        return Spread(fill_by_index, (self.pos_index, self.local(update), *of_negatives))

    def spread_among_positives(self, update: Tensor) -> Spread:
        """Prepare the gradient that moves positives up, and leaves the negatives alone.

        Args:
            update: How much each positive is to move, shape (num_pos,).
        """
        return Spread(fill_by_index, (self.pos_index, self.local(update)))

    def spread_over_negatives(self, errors: Tensor) -> Tensor:
        """Return ``sum_i errors(i) p(j | i)`` for the negatives of ``neg_index``.

        Args:
            errors: Shape (num_pos,), 0 where no negative stands above.
        """
        share = errors / torch.where(self._spread > 0, self._spread, 1)  # of each unit of H(x_ij)
        spread = self.bins.evaluate(self._neg_located, *self.bins.step_lines(share))
        return spread if self._neg_weights is None else spread.mul_(self._neg_weights)

    # Between processes

    def all_gather(self, values: Tensor) -> Tensor:
        """Put values of the positives of all processes together, (num_local,) to (num_pos,)."""
        return values if self._processes is None else self._processes.all_gather(values)

    gather = all_gather  # its name before

    def local(self, values: Tensor) -> Tensor:
        """Return what belongs to the positives of this process, (num_pos,) to (num_local,)."""
        return values if self._processes is None else values[self._processes.local]

    def weighted_sum(self, weights: Tensor, values: Tensor) -> Tensor:
        """Return ``sum_k w_k v_k`` over all positives, differentiable in the values given.

        Args:
            weights: Shape (num_pos,).
            values: Those of the positives of this process, shape (num_local,).
        """
        result = (self.local(weights).to(values.dtype) * values).sum()
        if self._processes is None:
            return result
        return result + (self._processes.sum(result.detach()) - result.detach())

    def mean(self, values: Tensor) -> Tensor:
        """Return the mean over the positives, differentiable, as the loss itself takes it.

        Args:
            values: Those of the positives of this process, shape (num_local,).
        """
        return self.weighted_sum(torch.ones_like(self.pos_logits) / self.normalizer, values)

    def _sum(self, table: Tensor) -> Tensor:
        return table if self._processes is None else self._processes.sum(table)
