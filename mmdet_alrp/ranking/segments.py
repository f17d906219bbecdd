"""Running sums, also those that start anew in every run of equal entries."""

from __future__ import annotations

import torch
from torch import Tensor


def refused_by_torch(values: Tensor) -> bool:
    """Tell whether torch would refuse the running sums of ``values``, as not reproducible."""
    return (
        torch.are_deterministic_algorithms_enabled()
        and values.is_cuda
        and values.is_floating_point()
    )


def running_sums(values: Tensor) -> Tensor:
    """Return the running sums of ``values``, shape (n,)."""
    if not refused_by_torch(values):
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


def ascending(values: Tensor, groups: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Sort group by group, of equal values the last first.

    Args:
        values: Shape (n,).
        groups: Group of each value, shape (n,); None is one group.

    Returns:
        The order, shape (n,), and where the group of each sorted entry starts (None for one group).
    """
    order = len(values) - 1 - values.flip(0).argsort(stable=True)
    if groups is None:
        return order, None
    sorted_groups, by_group = groups[order].sort(stable=True)
    return order[by_group], segment_bounds(sorted_groups)[0]
