"""Triton kernel for sums over pairs of positives."""

from __future__ import annotations

import triton
import triton.language as tl

# What pair_sums adds up, over the pairs of one image
ABOVE = tl.constexpr(0)  # H(x_ij) v_j, j != i
UP_TO = tl.constexpr(1)  # [place_j <= place_i] v_j
BEST_UP_TO = tl.constexpr(2)  # the largest of these in place of their sum
TOGETHER = tl.constexpr(3)  # v_j
LOWER = tl.constexpr(4)  # H(x_ij) [y_j < y_i] v_j
NOT_LOWER = tl.constexpr(5)  # H(x_ij) [y_j >= y_i] v_j
HIGHER_BELOW = tl.constexpr(6)  # H(x_ji) [y_i < y_j] v_j


@triton.jit
def step_of(gap, DELTA: tl.constexpr):
    """Return H of a gap between two scores, float64."""
    if DELTA == 0:
        return (gap >= 0).to(tl.float64)
    else:
        return tl.minimum(tl.maximum(gap / (2 * DELTA) + 0.5, 0.0), 1.0)


@triton.jit
def score_of(positives, at, inside):
    """Load scores in float64; NaN, which has no place in an order, counts as the highest."""
    score = tl.load(positives + at, mask=inside, other=0.0)
    return tl.where(score == score, score, float('inf')).to(tl.float64)


@triton.jit(do_not_specialize=['count'])
def pair_sums(
    values, positives, images, places, labels, count, sums,
    KIND: tl.constexpr, DELTA: tl.constexpr, BY_IMAGE: tl.constexpr, ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
):  # fmt: skip
    """Sum values over pairs of positives, as ``KIND`` says, for each row."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    real = row < count
    score = score_of(positives, row, real)[:, None]
    place = tl.load(places + row, mask=real, other=0)[:, None]
    image = tl.zeros([ROWS], tl.int32)
    if BY_IMAGE:
        image = tl.load(images + row, mask=real, other=0).to(tl.int32)
    label = tl.zeros([ROWS], tl.float64)[:, None]
    if KIND >= LOWER:
        label = tl.load(labels + row, mask=real, other=0.0)[:, None]
    total = tl.zeros([ROWS, COLUMNS], tl.float64)
    for first in range(0, count, COLUMNS):
        column = first + tl.arange(0, COLUMNS)
        real_column = column < count
        value = tl.load(values + column, mask=real_column, other=0.0)[None, :]
        counted = tl.full([ROWS, COLUMNS], 1, tl.int1) & real_column[None, :]
        if BY_IMAGE:
            owner = tl.load(images + column, mask=real_column, other=-1).to(tl.int32)
            counted = counted & (owner[None, :] == image[:, None])
        if (KIND == UP_TO) | (KIND == BEST_UP_TO):
            other_place = tl.load(places + column, mask=real_column, other=0)
            counted = counted & (other_place[None, :] <= place)
        if (KIND == ABOVE) | (KIND >= LOWER):
            other = score_of(positives, column, real_column)[None, :]
            gap = score - other if KIND == HIGHER_BELOW else other - score
            value = step_of(gap, DELTA) * value
        if KIND == ABOVE:
            counted = counted & (column[None, :] != row[:, None])
        if KIND >= LOWER:
            other_label = tl.load(labels + column, mask=real_column, other=0.0)[None, :]
            if KIND == LOWER:
                counted = counted & (other_label < label)
            elif KIND == NOT_LOWER:
                counted = counted & ((other_label < label) == 0)  # NaN must stay visible
            else:
                counted = counted & (label < other_label)
        if KIND == BEST_UP_TO:
            value = tl.where(value == value, value, float('inf'))  # NaN must stay visible
            total = tl.maximum(total, tl.where(counted, value, 0.0))
        else:
            total += tl.where(counted, value, 0.0)
    result = tl.max(total, 1) if KIND == BEST_UP_TO else tl.sum(total, 1)
    tl.store(sums + row, result, mask=real)
