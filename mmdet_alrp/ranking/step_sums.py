"""Exact sums of smoothed step functions, without a sort of the summands and without a matrix.

Every sum that a ranking loss needs has the form ``sum_j w_j H(v_j - t_i)``, H the smoothed step.
As a function of v the step that belongs to threshold t_i is flat below ``t_i - delta``, rises in a
straight line up to ``t_i + delta`` and is flat again. All steps together cut the axis at ``2 m``
breakpoints (m thresholds), and between two of them nothing bends. So it is enough to know, for each
bin between breakpoints, the total weight of the values in it and their first moment; prefix sums
over the bins give the sums of all thresholds at once, and prefix sums over the steps give the
function ``sum_i c_i H(v - t_i)`` as one straight line a bin.

Several independent sets of values and thresholds ("segments", such as the images of a batch) are
done at once: their bins lie one segment behind the other, and a prefix sum is cut where a segment
starts.

Cost: ``O((n + m) log m)`` for n values and m thresholds; memory: a bin and an offset a value, and a
few float64 tables of ``2 m + 1`` entries.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .grid_search import SegmentedSearch, blocks, bucketize
from .segments import running_sums, segment_bounds
from .split_sums import bin_counts, bin_sums, counts_in_copies


def table_dtype(device: torch.device) -> torch.dtype:
    """Return the dtype of the small tables: float64, except where the device has none (MPS)."""
    return torch.float32 if device.type == 'mps' else torch.float64


class Located(NamedTuple):
    """Values, placed in bins.

    Attributes:
        bins: Bin of each value, int32 or int64, shape (n,).
        offsets: Distance of each value from the left edge of its bin, shape (n,), in the dtype of
            the values; None for hard steps, which do not need it.
    """

    bins: Tensor
    offsets: Tensor | None


class StepBins:
    """The bins that the breakpoints of all steps cut out of the axis of scores.

    Bin b holds the values that have passed exactly b breakpoints; bin 0 lies below every ramp.

    Args:
        thresholds: Centres t_i of the steps, floating point, shape (m,) with m > 0, any order.
        delta: Half-width of the ramps; 0 gives hard steps, which are 1 at ``v == t_i``.
        segments: Segment of each threshold, int64 >= 0, shape (m,): a step counts only values of
            its own segment. None is one segment. Bin b then holds values that have passed b
            breakpoints, those of lower segments counted as passed; a value must have passed one of
            its own segment.
        num_segments: Number of segments.

    Attributes:
        edges: The breakpoints, ascending within each segment, in the table dtype, shape (k,) with
            k = 2 m, or m for hard steps.
        value_edges: The same in the dtype of the thresholds, shape (k,).
    """

    def __init__(
        self,
        thresholds: Tensor,
        delta: float,
        segments: Tensor | None = None,
        num_segments: int = 1,
    ) -> None:
        self.delta = delta
        centres = thresholds.detach().to(table_dtype(thresholds.device))
        points = centres if delta == 0 else torch.cat([centres - delta, centres + delta])
        self.edges, order = points.sort(stable=True)
        self._search = None
        if segments is not None:
            point_segments = (segments if delta == 0 else segments.repeat(2))[order]
            point_segments, rank = point_segments.sort(stable=True)
            self._search = SegmentedSearch(point_segments, rank, num_segments)
            self.edges, order = self.edges[rank], order[rank]
            self._segment_start, self._segment_end = segment_bounds(point_segments)
        position = torch.empty_like(order)
        position[order] = torch.arange(len(order), device=order.device)
        # Bins above ``start[i]`` lie on or behind the ramp of step i, bins above ``end[i]`` behind.
        self.start, self.end = (position, position) if delta == 0 else position.chunk(2)
        # Distances matter only on a ramp. Leaving out the bins that no ramp crosses keeps prefix
        # sums from growing with the range of the scores and cancelling afterwards.
        num_open = torch.where(order < len(centres), 1, -1).cumsum(0)
        self.on_ramp = torch.cat([num_open.new_zeros(1), num_open]) > 0
        self.widths = torch.where(self.on_ramp[1:-1], self.edges.diff(), 0)
        self.coords = torch.cat([self.widths.new_zeros(1), running_sums(self.widths)])

        # Edges in the precision of the values: rounded to the side that leaves every value of that
        # precision in the same bin. Bin 0 borrows the first edge.
        edges = self.edges.to(thresholds.dtype)
        lost = edges.to(self.edges.dtype) - self.edges
        wrong_side = lost < 0 if delta == 0 else lost > 0
        towards = torch.full_like(edges, torch.inf if delta == 0 else -torch.inf)
        self.value_edges = torch.where(wrong_side, edges.nextafter(towards), edges)
        self.lost = self.value_edges.to(self.edges.dtype) - self.edges

    @property
    def num_bins(self) -> int:
        """Number of bins: one more than there are breakpoints."""
        return len(self.edges) + 1

    def locate(self, values: Tensor, segments: Tensor | None = None) -> Located:
        """Place values in their bins.

        Args:
            values: Shape (n,), of the dtype of the thresholds.
            segments: Segment of each value, integer, shape (n,), if the thresholds have segments.
        """
        values = values.detach()
        # A value at the foot of a ramp is not on it, so that a sum of zeros is exactly zero; a
        # value at a hard step has passed it.
        right = self.delta == 0
        if self._search is None:
            bins = bucketize(values, self.value_edges, right)
        else:
            bins = self._search.bins(values, segments, self.value_edges, right)
        if self.delta == 0:
            return Located(bins, None)
        left_edges = torch.cat([self.value_edges[:1], self.value_edges])
        offsets = torch.empty_like(values)
        for part in blocks(values):
            torch.sub(values[part], left_edges.index_select(0, bins[part]), out=offsets[part])
        return Located(bins, offsets)

    def first_bins(self) -> Tensor:
        """Return for each segment the bin that is too low for its values, shape (num_segments,)."""
        return self._search.first_bins()

    def histogram(self, located: Located, weights: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Sum weights and weighted offsets in each bin.

        Args:
            located: n values, placed in their bins.
            weights: One weight a value, shape (n,); None weighs each by 1.

        Returns:
            ``mass`` (total weight) and ``moment`` (total weight times offset), each of shape
            (num_bins,) in the table dtype. Histograms of parts of a data set simply add up.
        """
        bins, offsets = located
        if counts_in_copies(bins.device):
            return self._histogram_in_copies(located, weights)
        zeros = self.edges.new_zeros(self.num_bins)
        if weights is None:
            ones = zeros.new_ones(1).expand(len(bins))
            mass = zeros.index_add(0, bins, ones)
        else:
            mass = zeros.index_add(0, bins, weights.detach().to(zeros.dtype))
        if offsets is None:
            return mass, zeros
        moment = zeros
        for part in blocks(bins):
            summands = offsets[part].to(zeros.dtype)
            if weights is not None:
                summands = summands * weights[part].detach()
            moment.index_add_(0, bins[part], summands)
        moment[1:] += mass[1:] * self.lost
        return mass, moment

    def _histogram_in_copies(
        self, located: Located, weights: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Sum as :meth:`histogram`, in the way that suits a GPU."""
        bins, offsets = located
        if weights is None:
            mass = bin_counts(bins, self.num_bins).to(self.edges.dtype)
        else:
            weights = weights.detach()
            mass = bin_sums(bins, weights, self.num_bins)
        if offsets is None:
            return mass, torch.zeros_like(mass)
        # No moment is read where no ramp is; there an offset could be so large that the others
        # would be nothing beside it.
        offsets = offsets.clamp(max=(2 * self.delta + self.lost.abs().amax()).to(offsets.dtype))
        moment = bin_sums(bins, offsets if weights is None else offsets * weights, self.num_bins)
        moment[1:] += mass[1:] * self.lost
        return mass, moment

    def sum_steps(self, mass: Tensor, moment: Tensor) -> Tensor:
        """Return ``sum_j w_j H(v_j - t_i)`` for every step, shape (m,), from a histogram."""
        above = running_sums(mass.flip(0)).flip(0)  # total weight of a bin and of all bins above it
        behind = passed = above[self.end + 1]
        if self._search is not None:
            above = torch.cat([above, above.new_zeros(1)])
            passed = behind - above[self._segment_end[self.end] + 1]
        if self.delta == 0:
            return passed
        moment = torch.where(self.on_ramp[1:], moment[1:] + mass[1:] * self.coords, 0)
        moment = torch.cat([moment.new_zeros(1), running_sums(moment)])
        climbing = above[self.start + 1] - behind
        climb = moment[self.end] - moment[self.start] - climbing * self.coords[self.start]
        # A parallel scan rounds every entry in its own way: with nothing on a ramp, two entries
        # that should be equal may differ, and a sum that should be zero would not be.
        climb = torch.where(climbing != 0, climb, 0)
        return passed + climb / (2 * self.delta)

    def step_lines(self, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Return ``f(v) = sum_i c_i H(v - t_i)`` as one straight line a bin.

        Args:
            coefficients: c_i, shape (m,).

        Returns:
            ``base`` and ``slope``, each of shape (num_bins,): a value with offset d in bin b has
            ``f = base[b] + slope[b] * d``.
        """
        coefficients = coefficients.to(self.edges.dtype)
        zeros = self.edges.new_zeros(self.num_bins)
        if self.delta == 0:
            base = running_sums(zeros.index_add(0, self.end + 1, coefficients))
            return self._from_segment_start(base), zeros
        rise = coefficients / (2 * self.delta)
        bends = zeros.index_add(0, self.start + 1, rise).index_add(0, self.end + 1, -rise)
        # Where no ramp is, the slope is 0; what rounding leaves there would grow with distance.
        slope = torch.where(self.on_ramp, running_sums(bends), 0)
        base = torch.cat([zeros[:2], running_sums(slope[1:-1] * self.widths)])
        base = self._from_segment_start(base)
        base[1:] += slope[1:] * self.lost
        return base, slope

    def _from_segment_start(self, base: Tensor) -> Tensor:
        """Take from every bin what the steps of lower segments have added up to."""
        if self._search is None:
            return base
        return torch.cat([base[:1], base[1:] - base[self._segment_start]])

    def evaluate(self, located: Located, base: Tensor, slope: Tensor) -> Tensor:
        """Return the function of :meth:`step_lines` at every value, shape (n,)."""
        bins, offsets = located
        base, slope = base.to(self.value_edges.dtype), slope.to(self.value_edges.dtype)
        result = base.new_empty(len(bins))
        for part in blocks(bins):
            torch.index_select(base, 0, bins[part], out=result[part])
            if offsets is not None:
                result[part].addcmul_(slope.index_select(0, bins[part]), offsets[part])
        return result
