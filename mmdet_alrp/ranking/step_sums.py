"""Exact sums of smoothed step functions, without a sort of the summands and without a matrix.

Every sum that a ranking loss needs has the form ``sum_j w_j H(v_j - t_i)``, H the smoothed step.
As a function of v the step that belongs to threshold t_i is flat below ``t_i - delta``, rises in a
straight line up to ``t_i + delta`` and is flat again. All steps together cut the axis at ``2 m``
breakpoints (m thresholds), and between two of them nothing bends. So it is enough to know, for each
bin between breakpoints, the total weight of the values in it and their first moment; prefix sums
over the bins give the sums of all thresholds at once, and prefix sums over the steps give the
function ``sum_i c_i H(v - t_i)`` as one straight line a bin.

Cost: ``O((n + m) log m)`` for n values and m thresholds; memory: a bin and an offset a value, and a
few float64 tables of ``2 m + 1`` entries.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .grid_search import bucketize


def table_dtype(device: torch.device) -> torch.dtype:
    """Return the dtype of the small tables: float64, except where the device has none (MPS)."""
    return torch.float32 if device.type == 'mps' else torch.float64


class Located(NamedTuple):
    """Values, placed in bins.

    Attributes:
        bins: Bin of each value, int32, shape (n,).
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
    """

    def __init__(self, thresholds: Tensor, delta: float) -> None:
        self.delta = delta
        centres = thresholds.detach().to(table_dtype(thresholds.device))
        points = centres if delta == 0 else torch.cat([centres - delta, centres + delta])
        self.edges, order = points.sort(stable=True)
        position = torch.empty_like(order)
        position[order] = torch.arange(len(order), device=order.device)
        # Bins above ``start[i]`` lie on or behind the ramp of step i, bins above ``end[i]`` behind.
        self.start, self.end = (position, position) if delta == 0 else position.chunk(2)
        # Distances matter only on a ramp. Leaving out the bins that no ramp crosses keeps prefix
        # sums from growing with the range of the scores and cancelling afterwards.
        num_open = torch.where(order < len(centres), 1, -1).cumsum(0)
        self.on_ramp = torch.cat([num_open.new_zeros(1), num_open]) > 0
        self.widths = torch.where(self.on_ramp[1:-1], self.edges.diff(), 0)
        self.coords = torch.cat([self.widths.new_zeros(1), self.widths.cumsum(0)])

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

    def locate(self, values: Tensor) -> Located:
        """Place values, shape (n,) and of the dtype of the thresholds, in their bins."""
        values = values.detach()
        # A value at the foot of a ramp is not on it, so that a sum of zeros is exactly zero; a
        # value at a hard step has passed it.
        bins = bucketize(values, self.value_edges, right=self.delta == 0)
        if self.delta == 0:
            return Located(bins, None)
        left_edges = torch.cat([self.value_edges[:1], self.value_edges])
        return Located(bins, values - left_edges.index_select(0, bins))

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
        zeros = self.edges.new_zeros(self.num_bins)
        if weights is None:
            ones = zeros.new_ones(1).expand(len(bins))
            mass = zeros.index_add(0, bins, ones)
        else:
            mass = zeros.index_add(0, bins, weights.detach().to(zeros.dtype))
        if offsets is None:
            return mass, zeros
        offsets = offsets.to(zeros.dtype)
        if weights is not None:
            offsets = offsets * weights.detach()
        moment = zeros.index_add(0, bins, offsets)
        moment[1:] += mass[1:] * self.lost
        return mass, moment

    def sum_steps(self, mass: Tensor, moment: Tensor) -> Tensor:
        """Return ``sum_j w_j H(v_j - t_i)`` for every step, shape (m,), from a histogram."""
        above = mass.flip(0).cumsum(0).flip(0)  # total weight of a bin and of all bins above it
        passed = above[self.end + 1]
        if self.delta == 0:
            return passed
        moment = torch.where(self.on_ramp[1:], moment[1:] + mass[1:] * self.coords, 0)
        moment = torch.cat([moment.new_zeros(1), moment.cumsum(0)])
        climbing = above[self.start + 1] - passed
        climb = moment[self.end] - moment[self.start] - climbing * self.coords[self.start]
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
            return zeros.index_add(0, self.end + 1, coefficients).cumsum(0), zeros
        rise = coefficients / (2 * self.delta)
        bends = zeros.index_add(0, self.start + 1, rise).index_add(0, self.end + 1, -rise)
        # Where no ramp is, the slope is 0; what rounding leaves there would grow with distance.
        slope = torch.where(self.on_ramp, bends.cumsum(0), 0)
        base = torch.cat([zeros[:2], (slope[1:-1] * self.widths).cumsum(0)])
        base[1:] += slope[1:] * self.lost
        return base, slope

    def evaluate(self, located: Located, base: Tensor, slope: Tensor) -> Tensor:
        """Return the function of :meth:`step_lines` at every value, shape (n,)."""
        bins, offsets = located
        dtype = self.value_edges.dtype
        result = base.to(dtype).index_select(0, bins)
        if offsets is not None:
            result.addcmul_(slope.to(dtype).index_select(0, bins), offsets)
        return result
