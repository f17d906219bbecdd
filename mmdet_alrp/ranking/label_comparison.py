"""Sums of smoothed steps over the positives with a lower, or with no lower, label.

Rank & Sort Loss compares positives in two ways at once: by score and by label. A few hundred
positives are compared pair by pair. For more of them, write the labels as their ranks, in binary.
Of two different ranks the lower one has a 0 where they first differ and the higher one a 1, and
they agree in all bits before that. So for every bit, divide the positives into segments by the
bits before it; in each segment those with a 0 and those with a 1 meet, and every pair meets exactly
once. The sums within segments are those of :class:`~mmdet_alrp.ranking.step_sums.StepBins`.

Cost: ``O(m log^2 m)`` for m positives, in ``log2 m`` rounds of tensor operations; pair by pair
``O(m^2)``, in a dozen operations.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .segments import segment_bounds
from .step_sums import Located, StepBins

MAX_PAIRED = 1000  # positives; with more, rounds are faster on a CPU and take less memory


class PairedLabelOrder:
    """Few positives, compared by score and by label: one table of all pairs.

    Args:
        pos_logits: s_i, float64, shape (m,) with m > 0.
        labels: y_i, floating point, shape (m,).
        delta: Half-width of the smoothed step H.
        images: Image of each positive, int64, shape (m,), if each image is ranked on its own.
    """

    def __init__(
        self, pos_logits: Tensor, labels: Tensor, delta: float, images: Tensor | None = None
    ) -> None:
        gaps = pos_logits[None, :] - pos_logits[:, None]  # x_ij = s_j - s_i in row i
        if delta == 0:
            steps = (gaps >= 0).to(gaps.dtype)
        else:
            steps = gaps.div_(2 * delta).add_(0.5).clamp_(0, 1)
        if images is not None:
            steps *= images[None, :] == images[:, None]
        self._to_lower = steps * (labels[None, :] < labels[:, None])
        self._to_others = steps.sub_(self._to_lower)

    def sums(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Sum as :meth:`LabelOrder.sums`."""
        return self._to_lower @ values, self._to_others @ values

    def spread_over_lower(self, shares: Tensor) -> Tensor:
        """Spread as :meth:`LabelOrder.spread_over_lower`."""
        return shares @ self._to_lower


class LabelOrder:
    """Many positives, compared by score and by label, without a table of pairs.

    Args:
        pos_logits: s_i, float64, shape (m,) with m > 0.
        labels: y_i, floating point, shape (m,).
        delta: Half-width of the smoothed step H.
        images: Image of each positive, int64, shape (m,), if each image is ranked on its own.
        num_images: Number of images.
    """

    def __init__(
        self,
        pos_logits: Tensor,
        labels: Tensor,
        delta: float,
        images: Tensor | None = None,
        num_images: int = 1,
    ) -> None:
        num_bits = max(1, (len(labels) - 1).bit_length())
        ranks = _dense_ranks(labels)
        images = torch.zeros_like(ranks) if images is None else images
        self._rounds: list[tuple[Tensor, StepBins, Located]] = []
        for bit in range(num_bits):
            prefixes = 1 << (num_bits - bit - 1)
            segments = images * prefixes + (ranks >> (bit + 1))
            bins = StepBins(pos_logits, delta, segments, num_images * prefixes)
            higher = (ranks >> bit & 1).bool()
            self._rounds.append((higher, bins, bins.locate(pos_logits, segments)))
        prefixes = 1 << num_bits
        segments = images * prefixes + ranks
        self._equal = StepBins(pos_logits, delta, segments, num_images * prefixes)
        self._equal_located = self._equal.locate(pos_logits, segments)

    def sums(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Sum values over the positives that stand above, by their labels.

        Args:
            values: v_j, shape (m,).

        Returns:
            ``sum_j H(x_ij) [y_j < y_i] v_j`` and ``sum_j H(x_ij) [y_j >= y_i] v_j``, j = i
            included, each of shape (m,).
        """
        lower = torch.zeros_like(values)
        not_lower = self._equal.sum_steps(*self._equal.histogram(self._equal_located, values))
        for higher, bins, located in self._rounds:
            from_lower = bins.sum_steps(*bins.histogram(located, values.masked_fill(higher, 0)))
            from_higher = bins.sum_steps(*bins.histogram(located, values.masked_fill(~higher, 0)))
            lower += from_lower.masked_fill(~higher, 0)
            not_lower += from_higher.masked_fill(higher, 0)
        return lower, not_lower

    def spread_over_lower(self, shares: Tensor) -> Tensor:
        """Return ``sum_i shares(i) H(x_ij) [y_j < y_i]`` for every positive j, shape (m,)."""
        spread = torch.zeros_like(shares)
        for higher, bins, located in self._rounds:
            lines = bins.step_lines(shares.masked_fill(~higher, 0))
            spread += bins.evaluate(located, *lines).masked_fill(higher, 0)
        return spread


def label_order(
    pos_logits: Tensor, labels: Tensor, delta: float, images: Tensor | None, num_images: int
) -> PairedLabelOrder | LabelOrder:
    """Compare positives by score and by label in the way that suits their number.

    Args:
        pos_logits: As in :class:`LabelOrder`.
        labels: As in :class:`LabelOrder`.
        delta: As in :class:`LabelOrder`.
        images: As in :class:`LabelOrder`.
        num_images: As in :class:`LabelOrder`.
    """
    if len(pos_logits) <= MAX_PAIRED:
        return PairedLabelOrder(pos_logits, labels, delta, images)
    return LabelOrder(pos_logits, labels, delta, images, num_images)


def _dense_ranks(labels: Tensor) -> Tensor:
    """Return ranks from 0, ascending in which equal labels share one, int64, shape (m,)."""
    sorted_labels, order = labels.sort(stable=True)
    ranks = torch.empty_like(order)
    ranks[order] = segment_bounds(sorted_labels)[0]
    return ranks
