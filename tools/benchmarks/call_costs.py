"""What one call costs apart from time: peak memory, kernels launched, waits for the device."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

LAUNCHES = ('cudaLaunchKernel', 'cuLaunchKernel')  # and their variants, such as ...ExC
# The profiler itself ends with a cudaDeviceSynchronize, which is therefore not counted.
WAITS = ('cudaStreamSynchronize', 'cudaEventSynchronize')


class CallCosts(NamedTuple):
    """Costs of one call.

    Attributes:
        peak_bytes: Memory of tensors at its highest, above what was there before the call.
        kernels: Kernels launched; None on the CPU, and where the profiler sees no CUDA calls.
        waits: How often the host waited for the device, as to read a number; None as above.
        gpu_seconds: What the device worked, idle time between kernels left out; None as above.
    """

    peak_bytes: int
    kernels: int | None
    waits: int | None
    gpu_seconds: float | None = None


def costs_of(call: Callable[[], object], device: torch.device) -> CallCosts:
    """Make a call once, watched by the profiler of PyTorch.

    Args:
        call: What to call; its result counts as memory too.
        device: Where it does its work, the CPU or a CUDA device.
    """
    if device.type == 'cuda':
        return _costs_on_cuda(call, device)
    with _profiled(ProfilerActivity.CPU, profile_memory=True) as watched:
        result = call()
    del result  # after the watch, so that its release is not taken for a smaller peak
    events = watched.profiler.kineto_results.events()
    changes = (event.nbytes() for event in events if event.name() == '[memory]')
    return CallCosts(highest_sum(changes), None, None)


def _costs_on_cuda(call: Callable[[], object], device: torch.device) -> CallCosts:
    call()  # kernels that are compiled or loaded at their first use
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    with _profiled(ProfilerActivity.CPU, ProfilerActivity.CUDA) as watched:
        call()
    peak = torch.cuda.max_memory_allocated(device) - before
    events = watched.profiler.kineto_results.events()
    kernels, waits = count_launches(event.name() for event in events)
    if kernels == 0:  # nothing was watched: the profiler of this machine sees no CUDA calls
        return CallCosts(peak, None, None)
    worked = sum(event.duration_ns() for event in events if event.device_type() == DeviceType.CUDA)
    return CallCosts(peak, kernels, waits, worked / 1e9)


def _profiled(*activities: ProfilerActivity, **options: bool) -> profile:
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # about options that another release renames
        return profile(activities=list(activities), **options)


def highest_sum(changes: Iterable[int]) -> int:
    """Highest running sum of allocations (> 0) and releases (< 0), at least 0."""
    total = highest = 0
    for change in changes:
        total += change
        highest = max(highest, total)
    return highest


def count_launches(names: Iterable[str]) -> tuple[int, int]:
    """Count kernel launches and waits among the profiler's names of CUDA calls."""
    names = list(names)
    kernels = sum(name.startswith(LAUNCHES) for name in names)
    return kernels, sum(name.startswith(WAITS) for name in names)
