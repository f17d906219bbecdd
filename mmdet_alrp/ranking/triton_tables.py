"""Triton kernels on positives and bins: a few thousand of them, compared pair by pair in tiles.

All pairs of 2,500 positives are six million comparisons, which a GPU makes in microseconds, while a
sort, a scan and a dozen small operations cost a launch each. There is no matrix of pairs in memory,
each program adds up its rows in a fixed order, and sums without a prefix sum cancel nowhere. Groups
(images ranked on their own) are pairs that are left out.

A positive i has two breakpoints, ``start[i]`` at the foot of its ramp and ``end[i]`` at its top;
bin b lies between breakpoints b - 1 and b, and ``place[i]`` is i's place among the positives, the
lowest first, of equal ones the last first.
"""

from __future__ import annotations

import triton
import triton.language as tl

from .triton_logits import cell_of, is_finite
from .triton_pairs import score_of, step_of


@triton.jit
def _not_above(edge):
    """Round float64 to float32, never upwards: every float32 number keeps its side."""
    rounded = edge.to(tl.float32)
    bits = rounded.to(tl.int32, bitcast=True)
    below = tl.where(bits > 0, bits - 1, bits + 1)
    below = tl.where((bits & 0x7FFFFFFF) == 0, -0x7FFFFFFF, below)
    above = rounded.to(tl.float64) > edge
    return tl.where(above, below, bits).to(tl.float32, bitcast=True)


@triton.jit(do_not_specialize=['count'])
def place_positives(
    positives, images, count, places, starts, ends, edges, edge_images, pos_rank, num_broken,
    DELTA: tl.constexpr, BY_IMAGE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Place positives and their breakpoints, and rank positives among themselves."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    real = row < count
    score = score_of(positives, row, real)
    image = tl.zeros([ROWS], tl.int32)
    if BY_IMAGE:
        image = tl.load(images + row, mask=real, other=0).to(tl.int32)
    place = tl.zeros([ROWS, COLUMNS], tl.int32)
    start = tl.zeros([ROWS, COLUMNS], tl.int32)
    end = tl.zeros([ROWS, COLUMNS], tl.int32)
    rank = tl.zeros([ROWS, COLUMNS], tl.float64)
    for first in range(0, count, COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        real_column = column < count
        other = score_of(positives, column, real_column)[None, :]
        before = tl.zeros([ROWS, COLUMNS], tl.int1)
        same = tl.full([ROWS, COLUMNS], 1, tl.int1) & real_column[None, :]
        if BY_IMAGE:
            owner = tl.load(images + column, mask=real_column, other=0).to(tl.int32)
            before = same & (owner[None, :] < image[:, None])
            same = same & (owner[None, :] == image[:, None])
        mine = score[:, None]
        lower = (other < mine) | ((other == mine) & (column[None, :] > row[:, None]))
        place += (before | (same & lower)).to(tl.int32)
        start += (before | (same & (other + DELTA < mine - DELTA))).to(tl.int32)
        end += (before | (same & (other - DELTA <= mine + DELTA))).to(tl.int32)
        counted = same & (column[None, :] != row[:, None])
        rank += tl.where(counted, step_of(other - mine, DELTA), 0.0)
    place_ = tl.sum(place, 1)
    tl.store(places + row, place_, mask=real)
    tl.store(pos_rank + row, 1.0 + tl.sum(rank, 1), mask=real)
    if DELTA == 0:
        start_ = place_
        end_ = place_
    else:
        start_ = place_ + tl.sum(start, 1)
        end_ = place_ + tl.sum(end, 1)
    tl.store(edges + start_, _not_above(score - DELTA), mask=real)
    tl.store(edge_images + start_, image, mask=real)
    if DELTA != 0:
        tl.store(edges + end_, _not_above(score + DELTA), mask=real)
        tl.store(edge_images + end_, image, mask=real)
    tl.store(starts + row, start_, mask=real)
    tl.store(ends + row, end_, mask=real)
    own = tl.load(positives + row, mask=real, other=0.0)
    broken = tl.sum((is_finite(own) == 0).to(tl.int64), 0)
    if broken > 0:
        tl.atomic_add(num_broken, broken, sem='relaxed')


@triton.jit
def _edges_before(key, edges, edge_images, num_edges, low, scale, CELLS: tl.constexpr):
    """Count the breakpoints in cells before ``key``: image times CELLS plus cell."""
    start = tl.zeros_like(key)
    end = start + num_edges
    most = num_edges
    while most > 0:
        most = most // 2
        middle = (start + end) // 2
        unknown = start < end
        edge = tl.load(edges + middle, mask=unknown, other=0.0)
        found = cell_of(tl.where(is_finite(edge), edge, low), low, scale, CELLS)
        found += CELLS * tl.load(edge_images + middle, mask=unknown, other=0)
        passed = unknown & (found < key)
        start = tl.where(passed, middle + 1, start)
        end = tl.where(unknown & (passed == 0), middle, end)
    return start


@triton.jit(do_not_specialize=['num_edges', 'num_images'])
def fill_grid(
    edges, edge_images, num_edges, num_images, cells, grid, steps,
    DELTA: tl.constexpr, CELLS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Lay a grid of cells over the breakpoints of each image.

    ``cells`` gets the number of breakpoints before each cell, ``grid`` the lowest breakpoint, the
    number of cells in a unit and the largest offset on a ramp, ``steps`` those of a search in the
    fullest cell.
    """
    lane = tl.arange(0, BLOCK)
    low = tl.full([BLOCK], float('inf'), tl.float32)
    high = tl.full([BLOCK], -float('inf'), tl.float32)
    for first in range(0, num_edges, BLOCK):
        inside = first + lane < num_edges
        edge = tl.load(edges + first + lane, mask=inside, other=0.0)
        usable = inside & is_finite(edge)
        low = tl.minimum(low, tl.where(usable, edge, float('inf')))
        high = tl.maximum(high, tl.where(usable, edge, -float('inf')))
    lowest = tl.min(low, 0)
    highest = tl.max(high, 0)
    lowest = tl.where(is_finite(lowest), lowest, 0.0)
    highest = tl.where(is_finite(highest), highest, 0.0)
    # 0 puts all edges into one cell: where they are equal, or so close that this overflows.
    scale = CELLS / tl.maximum(highest - lowest, 1e-30)
    scale = tl.where(highest > lowest, scale, 0.0)
    key = tl.program_id(0) * BLOCK + lane
    before = _edges_before(key, edges, edge_images, num_edges, lowest, scale, CELLS)
    behind = _edges_before(key + 1, edges, edge_images, num_edges, lowest, scale, CELLS)
    wanted = key <= num_images * CELLS
    tl.store(cells + key, before, mask=wanted)
    fullest = tl.max(tl.where(wanted, behind - before, 0), 0)
    needed = tl.zeros_like(fullest)
    while fullest > 0:
        fullest = fullest // 2
        needed += 1
    tl.atomic_max(steps, needed.to(tl.int64), sem='relaxed')
    if tl.program_id(0) == 0:
        tl.store(grid, lowest)
        tl.store(grid + 1, scale)
        # Breakpoints are rounded to float32, which adds up to one part in 2^22.
        size = tl.maximum(tl.abs(lowest), tl.abs(highest))
        tl.store(grid + 2, (2 * DELTA + size * 2.4e-7) + 1e-37)


@triton.jit(do_not_specialize=['num_bins', 'bits', 'count'])
def sum_negatives(
    tables, num_bins, bits, edges, edge_images, grid, positives, images, starts, ends, count,
    num_broken, num_fp,
    DELTA: tl.constexpr, BY_IMAGE: tl.constexpr, SKEWED: tl.constexpr, ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sum ``H(x_ij)`` over the negatives j, for each positive i, from the table of the bins."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    real = row < count
    foot = (score_of(positives, row, real) - DELTA)[:, None]
    start = tl.load(starts + row, mask=real, other=0)[:, None]
    end = tl.load(ends + row, mask=real, other=0)[:, None]
    image = tl.zeros([ROWS], tl.int32)
    if BY_IMAGE:
        image = tl.load(images + row, mask=real, other=0).to(tl.int32)
    one = (tl.full((), 1, tl.int64) << bits).to(tl.float64)
    unit = tl.load(grid + 2).to(tl.float64) / one
    total = tl.zeros([ROWS, COLUMNS], tl.float64)
    for first in range(1, num_bins, COLUMNS):  # bin 0 lies below all
        column = first + tl.arange(0, COLUMNS)
        real_column = column < num_bins
        mass = tl.load(tables + 2 * column, mask=real_column, other=0).to(tl.float64)
        if SKEWED:
            mass = mass / one
        behind = column[None, :] > end
        climbing = (column[None, :] > start) & (behind == 0)
        if BY_IMAGE:
            owner = tl.load(edge_images + column - 1, mask=real_column, other=-1)
            same = owner[None, :] == image[:, None]
            behind = behind & same
            climbing = climbing & same
        total += tl.where(behind, mass[None, :], 0.0)
        if DELTA != 0:
            left = tl.load(edges + column - 1, mask=real_column, other=0.0).to(tl.float64)
            moment = tl.load(tables + 2 * column + 1, mask=real_column, other=0).to(tl.float64)
            climbed = moment[None, :] * unit + mass[None, :] * (left[None, :] - foot)
            total += tl.where(climbing & (mass > 0)[None, :], climbed / (2 * DELTA), 0.0)
    broken = tl.load(num_broken) + tl.load(tables + 2 * num_bins)
    result = tl.maximum(tl.sum(total, 1), 0.0)
    tl.store(num_fp + row, tl.where(broken > 0, float('nan'), result), mask=real)


@triton.jit(do_not_specialize=['count', 'num_bins'])
def draw_lines(
    update, spread, edges, edge_images, positives, images, starts, ends, count, num_bins, lines,
    DELTA: tl.constexpr, BY_IMAGE: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """Write ``sum_i update(i) H(v - s_i) / spread(i)`` as one straight line a bin.

    ``lines`` gets the height at the left edge and the slope of each bin in turn, float32.
    """
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    real = (row > 0) & (row < num_bins)
    left = tl.load(edges + row - 1, mask=real, other=0.0).to(tl.float64)[:, None]
    owner = tl.load(edge_images + row - 1, mask=real, other=0)
    height = tl.zeros([ROWS, COLUMNS], tl.float64)
    slope = tl.zeros([ROWS, COLUMNS], tl.float64)
    for first in range(0, count, COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        real_column = column < count
        start = tl.load(starts + column, mask=real_column, other=0x7FFFFFFF)[None, :]
        end = tl.load(ends + column, mask=real_column, other=0x7FFFFFFF)[None, :]
        size = tl.load(spread + column, mask=real_column, other=1.0)
        share = tl.load(update + column, mask=real_column, other=0.0)
        share = tl.where(size == 0, 0.0, share / tl.where(size > 0, size, 1.0))[None, :]
        behind = row[:, None] > end
        climbing = (row[:, None] > start) & (behind == 0)
        if BY_IMAGE:
            image = tl.load(images + column, mask=real_column, other=-1).to(tl.int32)
            same = owner[:, None] == image[None, :]
            behind = behind & same
            climbing = climbing & same
        height += tl.where(behind, share, 0.0)
        if DELTA != 0:
            foot = (score_of(positives, column, real_column) - DELTA)[None, :]
            rise = tl.where(climbing, share / (2 * DELTA), 0.0)
            height += tl.where(climbing, rise * (left - foot), 0.0)
            slope += rise
    wanted = row < num_bins
    tl.store(lines + 2 * row, tl.sum(height, 1).to(tl.float32), mask=wanted)
    tl.store(lines + 2 * row + 1, tl.sum(slope, 1).to(tl.float32), mask=wanted)
