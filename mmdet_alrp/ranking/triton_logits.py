"""Triton kernels over all logits: one that counts negatives in bins, one that writes gradients.

Both find the bin of a logit among the sorted breakpoints by a uniform grid of cells, each of which
knows how many breakpoints lie before it, and by as many steps of a binary search as the fullest
cell needs: two or three, and never more than a search among all breakpoints would take.

Counts and first moments are whole numbers (moments in a unit of ``limit / 2^bits``), so that sums
do not depend on the order in which they come, and a table is the same in every run.

Of the logits, a kernel is told what they are by ``targets``: one number a logit (``CLASSES`` 0: 1
positive, 0 negative, other ignored), or, with ``CLASSES`` logits a row, one class index a row and
``weights``, whose rows of 0 are ignored. Only negatives are looked at.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def cell_of(value, low, scale, CELLS: tl.constexpr):
    """Return the grid cell of a number: a monotone function of it, rounding included."""
    cell = tl.minimum(tl.maximum((value - low) * scale, 0.0), CELLS - 1.0)
    return cell.to(tl.int32)


@triton.jit
def is_finite(value):
    """Tell which numbers are neither NaN nor infinite."""
    return tl.abs(value) < float('inf')


@triton.jit
def log_sigmoid(value):
    """Return log(sigmoid(value)) without overflow."""
    return tl.minimum(value, 0.0) - tl.log(1.0 + tl.exp(-tl.abs(value)))


@triton.jit
def ordered_bits(value):
    """Return whole numbers that are in the order of the given float32 ones; its own inverse."""
    bits = value.to(tl.int32, bitcast=True)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@triton.jit
def _read(
    logits, targets, weights, images, n, CLASSES: tl.constexpr, BY_IMAGE: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Return places, what lies inside, logits in float32, which are negatives, and their images."""
    first = tl.program_id(0).to(tl.int64) * BLOCK
    lane = tl.arange(0, BLOCK)
    at = first + lane
    inside = at < n
    value = tl.load(logits + at, mask=inside, other=0.0).to(tl.float32)
    if CLASSES == 0:
        row = at
        negative = tl.load(targets + at, mask=inside, other=-1) == 0
    else:
        first_row = first // CLASSES
        behind = (first - first_row * CLASSES).to(tl.int32) + lane  # 32 bits divide faster
        row = first_row + behind // CLASSES
        own = tl.load(targets + row, mask=inside, other=0).to(tl.int32) == behind % CLASSES
        weight = tl.load(weights + row, mask=inside, other=0)
        negative = (weight > 0) & (own == 0)
    negative = negative & inside
    image = tl.zeros([BLOCK], tl.int32)
    if BY_IMAGE:
        image = tl.load(images + row, mask=negative, other=0).to(tl.int32)
    return at, inside, value, negative, image


@triton.jit
def _find(
    value, negative, image, edges, cells, grid, steps, CELLS: tl.constexpr, HARD: tl.constexpr
):  # fmt: skip
    """Return the bins of finite negatives, and which of them some step of their image reaches."""
    low = tl.load(grid)
    scale = tl.load(grid + 1)
    value = tl.where(negative, value, low)
    cell = cells + image * CELLS + cell_of(value, low, scale, CELLS)
    start = tl.load(cell)
    end = tl.load(cell + 1)
    for _ in range(tl.load(steps).to(tl.int32)):
        middle = (start + end) // 2
        unknown = start < end
        edge = tl.load(edges + middle, mask=unknown, other=0.0)
        passed = edge <= value if HARD else edge < value
        passed = passed & unknown
        start = tl.where(passed, middle + 1, start)
        end = tl.where(unknown & (passed == 0), middle, end)
    reached = negative & (start > tl.load(cells + image * CELLS))
    return start, reached


@triton.jit
def _skewed(value, image, hardest, skew, reached):
    """Weigh negatives for the error distribution; the hardest of a ranking weighs 1."""
    top = ordered_bits(tl.load(hardest + image, mask=reached, other=0)).to(tl.float32, bitcast=True)
    return tl.exp(skew * (log_sigmoid(value) - log_sigmoid(tl.where(reached, top, 0.0))))


@triton.jit
def find_hardest(
    logits, targets, weights, images, n, edges, cells, grid, steps, hardest,
    CLASSES: tl.constexpr, BY_IMAGE: tl.constexpr, CELLS: tl.constexpr, HARD: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """Raise ``hardest`` to the highest negative that a step reaches, image by image."""
    _, _, value, negative, image = _read(
        logits, targets, weights, images, n, CLASSES, BY_IMAGE, BLOCK
    )
    negative = negative & is_finite(value)
    _, reached = _find(value, negative, image, edges, cells, grid, steps, CELLS, HARD)
    bits = ordered_bits(value)
    lowest = tl.min(tl.where(reached, image, 0x7FFFFFFF), 0)
    highest = tl.max(tl.where(reached, image, -1), 0)
    for owner in range(lowest, highest + 1):  # images stand together: mostly one or two
        mine = reached & (image == owner)
        tl.atomic_max(hardest + owner, tl.max(tl.where(mine, bits, -0x80000000), 0), sem='relaxed')


@triton.jit(do_not_specialize=['num_bins', 'bits', 'copies'])
def count_negatives(
    logits, targets, weights, images, n, edges, cells, grid, steps, hardest, skew, tables,
    num_bins, bits, copies,
    CLASSES: tl.constexpr, BY_IMAGE: tl.constexpr, SKEWED: tl.constexpr, CELLS: tl.constexpr,
    HARD: tl.constexpr, CROWDED: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Add the negatives of a block to their bins.

    ``tables`` has ``copies`` rows: count (or, skewed, weight in 1 / 2^bits) and moment of each bin
    in turn, then how many negatives are NaN or infinite, and how many logits of any kind are.
    """
    _, inside, value, negative, image = _read(
        logits, targets, weights, images, n, CLASSES, BY_IMAGE, BLOCK
    )
    finite = is_finite(value)
    table = tables + (tl.program_id(0) % copies).to(tl.int64) * (2 * num_bins + 2)
    broken = tl.sum((inside & (finite == 0)).to(tl.int64), 0)
    if broken > 0:
        # A negative at minus infinity is below every step, and harmless.
        harmful = negative & (finite == 0) & ((value < 0) == 0)
        tl.atomic_add(table + 2 * num_bins, tl.sum(harmful.to(tl.int64), 0), sem='relaxed')
        tl.atomic_add(table + 2 * num_bins + 1, broken, sem='relaxed')
    bins, reached = _find(value, negative & finite, image, edges, cells, grid, steps, CELLS, HARD)
    one = (tl.full((), 1, tl.int64) << bits).to(tl.float64)
    mass = tl.full([BLOCK], 1, tl.int64)
    moment = tl.zeros([BLOCK], tl.int64)
    if SKEWED:
        weight = tl.minimum(_skewed(value, image, hardest, skew, reached), 1.0)
        mass = (weight.to(tl.float64) * one + 0.5).to(tl.int64)
    if not HARD:
        left = tl.load(edges + bins - 1, mask=reached, other=0.0)
        # Bins that no ramp crosses may be wide; their moments are not read, but must not overflow.
        limit = tl.load(grid + 2)
        offset = tl.minimum(tl.where(reached, value, 0.0) - left, limit)
        part = offset.to(tl.float64) * (one / limit.to(tl.float64))
        if SKEWED:
            part = part * weight.to(tl.float64)
        moment = (part + 0.5).to(tl.int64)
    lane = tl.arange(0, BLOCK)
    for k in tl.static_range(CROWDED):
        # Bins that fill the block get one addition from it: no queue where all scores are alike.
        sample = tl.sum(tl.where(lane == k * (BLOCK // CROWDED) + 7, bins, 0), 0)
        here = reached & (bins == sample)
        entry = table + 2 * sample
        tl.atomic_add(entry, tl.sum(tl.where(here, mass, 0), 0), sem='relaxed')
        if not HARD:
            tl.atomic_add(entry + 1, tl.sum(tl.where(here, moment, 0), 0), sem='relaxed')
        reached = reached & (bins != sample)
    tl.atomic_add(table + 2 * bins, mass, mask=reached, sem='relaxed')
    if not HARD:
        tl.atomic_add(table + 2 * bins + 1, moment, mask=reached, sem='relaxed')


@triton.jit
def write_gradient(
    logits, targets, weights, images, n, edges, cells, grid, steps, hardest, skew, lines, factor,
    gradient,
    CLASSES: tl.constexpr, BY_IMAGE: tl.constexpr, SKEWED: tl.constexpr, CELLS: tl.constexpr,
    HARD: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Write the gradient of negatives, ``factor`` times a straight line a bin; elsewhere 0."""
    at, inside, value, negative, image = _read(
        logits, targets, weights, images, n, CLASSES, BY_IMAGE, BLOCK
    )
    bins, reached = _find(
        value, negative & is_finite(value), image, edges, cells, grid, steps, CELLS, HARD
    )
    result = tl.load(lines + 2 * bins, mask=reached, other=0.0)
    if not HARD:
        left = tl.load(edges + bins - 1, mask=reached, other=0.0)
        slope = tl.load(lines + 2 * bins + 1, mask=reached, other=0.0)
        result += slope * (tl.where(reached, value, 0.0) - left)
    if SKEWED:
        result *= _skewed(value, image, hardest, skew, reached)
    result = tl.where(reached, result * tl.load(factor), 0.0)
    tl.store(gradient + at, result.to(gradient.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=['count'])
def move_positives(update, num_fp, pos_index, count, factor, gradient, BLOCK: tl.constexpr):
    """Write the gradient of positives; one that stands above every negative is left alone."""
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    real = row < count
    up = tl.load(update + row, mask=real, other=0.0)
    above = tl.load(num_fp + row, mask=real, other=0.0)
    at = tl.load(pos_index + row, mask=real, other=0)
    result = tl.where(above == 0, 0.0, -up * tl.load(factor)).to(tl.float32)
    tl.store(gradient + at, result.to(gradient.dtype.element_ty), mask=real)
