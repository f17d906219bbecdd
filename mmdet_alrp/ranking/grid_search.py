"""Binning of many values at few sorted edges, exactly, mostly without a binary search.

A binary search takes a dozen steps a value that no processor can predict, and is by far the most
expensive part of a ranking loss on a CPU. A uniform grid over the edges finds the bin of a value in
one step wherever a cell of the grid holds at most one edge; the few values in fuller cells are
searched for. The result does not depend on the grid: cells are a monotone function of the value,
rounding included, so that an edge in a lower cell is surely lower and one in a higher cell higher.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

CELLS_AN_EDGE = 16
MIN_VALUES_A_CELL = 4  # fewer, and the tables cost more than they save
BLOCK = 2**20  # values at once on a CPU: larger intermediate results are slow to allocate


def blocks(values: Tensor) -> Iterator[slice]:
    """Cut a long tensor into blocks that suit its device; on CUDA it is one block."""
    size = BLOCK if values.device.type == 'cpu' else max(1, len(values))
    return (slice(start, start + size) for start in range(0, len(values), size))


def bucketize(values: Tensor, edges: Tensor, right: bool) -> Tensor:
    """Count for every value the edges below it; as ``torch.bucketize`` with int32 results.

    Args:
        values: Floating point, shape (n,).
        edges: Sorted, of the dtype of ``values``, shape (k,) with k > 0.
        right: Count edges that equal a value too.

    Returns:
        Bins in 0 .. k, int32, shape (n,). That of a NaN is arbitrary.
    """
    num_cells = CELLS_AN_EDGE * len(edges)
    if values.device.type != 'cpu' or len(values) < MIN_VALUES_A_CELL * num_cells:
        return torch.bucketize(values, edges, out_int32=True, right=right)
    low = edges[0]
    scale = num_cells / (edges[-1] - low)
    if not bool(scale.isfinite()):  # all edges equal, or as good as
        return torch.bucketize(values, edges, out_int32=True, right=right)

    # Cell 0 lies below all edges, the last cell holds everything from the highest edge on.
    edge_cells = _cells(edges, low, scale, num_cells)
    num_inside = torch.bincount(edge_cells, minlength=num_cells + 2)
    num_below = (num_inside.cumsum(0) - num_inside).to(torch.int32)
    next_edges = edges[num_below.clamp(max=len(edges) - 1)]
    next_edges[num_inside != 1] = torch.nan  # not one edge in this cell: no comparison holds
    num_below[num_inside > 1] = -1  # to be searched for

    bins = torch.empty(len(values), dtype=torch.int32)
    for part in blocks(values):
        cells = _cells(values[part], low, scale, num_cells)
        torch.index_select(num_below, 0, cells, out=bins[part])
        edge = next_edges.index_select(0, cells)
        bins[part] += values[part] >= edge if right else values[part] > edge
        crowded = (bins[part] < 0).nonzero().squeeze(1)
        rest = values[part].index_select(0, crowded)
        searched = torch.bucketize(rest, edges, out_int32=True, right=right)
        bins[part].index_copy_(0, crowded, searched)
    return bins


def _cells(values: Tensor, low: Tensor, scale: Tensor, num_cells: int) -> Tensor:
    """Return the grid cell of every value, int32; a NaN lands in an arbitrary one."""
    cells = (values - low).mul_(scale).add_(1).clamp_(0, num_cells + 1)
    return cells.to(torch.int32).clamp_(0, num_cells + 1)


class SegmentedSearch:
    """Binning at edges that lie segment behind segment.

    Place a value among the edges of all segments first; how many edges of its own segment that
    makes is then a matter of whole numbers, the same for all values between two edges.

    Args:
        edge_segments: Segment of each edge, sorted, int64, shape (k,).
        edge_ranks: Place of each edge in the order of all edges, int64, shape (k,); ascending
            within a segment.
        num_segments: Number of segments; they need not all have an edge.
    """

    def __init__(self, edge_segments: Tensor, edge_ranks: Tensor, num_segments: int) -> None:
        self._row = len(edge_ranks) + 1  # places among all edges
        self._keys = edge_segments * self._row + edge_ranks
        self._ranks = edge_ranks
        self._num_segments = num_segments

    def bins(self, values: Tensor, segments: Tensor, edges: Tensor, right: bool) -> Tensor:
        """Count for every value the edges of lower segments and those below it in its own segment.

        Args:
            values: Floating point, shape (n,).
            segments: Segment of each value, integer, shape (n,).
            edges: Segment behind segment, of the dtype of ``values``, shape (k,).
            right: Count edges that equal a value too.

        Returns:
            Bins in 0 .. k, int32 or int64, shape (n,). That of a NaN is arbitrary.
        """
        all_edges = torch.empty_like(edges)
        all_edges[self._ranks] = edges
        places = bucketize(values, all_edges, right)
        num_keys = self._num_segments * self._row
        if len(values) < num_keys or num_keys > torch.iinfo(torch.int32).max:
            return torch.searchsorted(self._keys, segments.long() * self._row + places)
        keys = torch.arange(num_keys, device=edges.device)
        table = torch.searchsorted(self._keys, keys, out_int32=True)
        keys = segments.to(torch.int32, copy=True).mul_(self._row).add_(places)
        return table.index_select(0, keys)

    def first_bins(self) -> Tensor:
        """Return the bin of what lies below all edges of its segment, int64, (num_segments,)."""
        segments = torch.arange(self._num_segments, device=self._keys.device)
        return torch.searchsorted(self._keys, segments * self._row)
