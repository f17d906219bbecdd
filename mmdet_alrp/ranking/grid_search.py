"""Binning of many values at few sorted edges, exactly, mostly without a binary search.

A binary search takes a dozen steps a value that no processor can predict, and is by far the most
expensive part of a ranking loss on a CPU. A uniform grid over the edges finds the bin of a value in
one step wherever a cell of the grid holds at most one edge; the few values in fuller cells are
searched for. The result does not depend on the grid: cells are a monotone function of the value,
rounding included, so that an edge in a lower cell is surely lower and one in a higher cell higher.
"""

from __future__ import annotations

import torch
from torch import Tensor

CELLS_AN_EDGE = 16
MIN_VALUES_A_CELL = 4  # fewer, and the tables cost more than they save


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
    cells = _cells(values, low, scale, num_cells)
    edge_cells = _cells(edges, low, scale, num_cells)
    num_inside = torch.bincount(edge_cells, minlength=num_cells + 2)
    num_below = (num_inside.cumsum(0) - num_inside).to(torch.int32)

    bins = num_below.index_select(0, cells)
    next_edges = edges[num_below.clamp(max=len(edges) - 1)]
    next_edges[num_inside == 0] = torch.nan  # no edge in this cell: no comparison holds
    next_edges = next_edges.index_select(0, cells)
    bins += values >= next_edges if right else values > next_edges
    crowded = (num_inside > 1).index_select(0, cells).nonzero().squeeze(1)
    searched = torch.bucketize(values.index_select(0, crowded), edges, out_int32=True, right=right)
    return bins.index_copy_(0, crowded, searched)


def _cells(values: Tensor, low: Tensor, scale: Tensor, num_cells: int) -> Tensor:
    """Return the grid cell of every value, int32; a NaN lands in an arbitrary one."""
    cells = (values - low).mul_(scale).add_(1).clamp_(0, num_cells + 1)
    return cells.to(torch.int32).clamp_(0, num_cells + 1)
