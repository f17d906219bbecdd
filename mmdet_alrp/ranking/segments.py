"""Running sums, also those that start anew in every run of equal entries."""

from __future__ import annotations

import torch
from torch import Tensor


def varies_from_run_to_run(values: Tensor) -> bool:
    """Tell whether torch's running sums of ``values`` are rounded in another way in every run.

    On a GPU the blocks of a long tensor add up in the order in which they come to an end; torch
    refuses that where ``torch.use_deterministic_algorithms`` is on.
    """
    return values.is_cuda and values.is_floating_point()


def running_sums(values: Tensor) -> Tensor:
    """Return the running sums of ``values``, shape (n,)."""
    if not varies_from_run_to_run(values):
        return values.cumsum(0)
    stride = 1
    sums = values.clone()
    while stride < len(values):  # entry k now holds the sum of the last ``stride`` entries up to k
        sums = torch.cat([sums[:stride], sums[stride:] + sums[:-stride]])
        stride *= 2
    return sums


def segment_bounds(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the run of each entry starts and where it ends.

    Args:
        keys: Entries in which equal ones stand together, shape (n,).

    Returns:
        ``start`` (first index of the run) and ``end`` (first index behind it), int64, shape (n,).
    """
    place = torch.arange(len(keys), device=keys.device)
    new = torch.ones_like(keys, dtype=torch.bool)
    new[1:] = keys[1:] != keys[:-1]
    start = torch.where(new, place, 0).cummax(0).values
    last = new.roll(-1)  # an entry is the last of its run if the next one starts a run
    end = torch.where(last, place + 1, len(keys)).flip(0).cummin(0).values.flip(0)
    return start, end


def segment_cumsum(values: Tensor, start: Tensor) -> Tensor:
    """Return the running sums of ``values``, shape (n,), each from the start of its run."""
    sums = running_sums(values)
    return sums - (sums - values)[start]


def sums_by_segment(values: Tensor, segments: Tensor, num_segments: int) -> Tensor:
    """Sum the values of each segment in the same order in every run, shape (num_segments,).

    Args:
        values: Shape (n,).
        segments: Segment of each value, int64, shape (n,).
        num_segments: Number of segments.
    """
    sums = values.new_zeros(num_segments)
    if values.is_cuda:  # sorts first, where index_add would take summands as they come
        return sums.index_put((segments,), values, accumulate=True)
    return sums.index_add(0, segments, values)


def ascending(values: Tensor, segments: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Sort segment by segment, of equal values the last first.

    Args:
        values: Shape (n,).
        segments: Segment of each value, shape (n,); None is one segment.

    Returns:
        The order, shape (n,), and where the segment of each sorted entry starts (None for one
        segment).
    """
    order = len(values) - 1 - values.flip(0).argsort(stable=True)
    if segments is None:
        return order, None
    sorted_segments, by_segment = segments[order].sort(stable=True)
    return order[by_segment], segment_bounds(sorted_segments)[0]
