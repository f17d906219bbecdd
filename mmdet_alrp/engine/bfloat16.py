"""Mixed precision where there is no loss scaler: on the CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.device import get_device
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn


def cpu_has_bfloat16(cpuinfo: Path = Path('/proc/cpuinfo')) -> bool:
    """Say whether the processor has instructions for bfloat16; without them it is only slow.

    Args:
        cpuinfo: Linux's description of the processors; where it is missing the answer is no.
    """
    try:
        words = cpuinfo.read_text(encoding='utf-8', errors='replace').split()
    except OSError:
        return False
    return not {'amx_bf16', 'avx512_bf16', 'bf16'}.isdisjoint(words)


@OPTIM_WRAPPERS.register_module(force=True)
class BFloat16OptimWrapper(OptimWrapper):
    """``OptimWrapper`` that runs the forward pass under bfloat16 autocast.

    MMEngine's ``AmpOptimWrapper`` refuses to work without an accelerator, because it always has
    a loss scaler. bfloat16 has the range of float32, so it needs none; this wrapper works on the
    CPU and on CUDA devices that know bfloat16.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Autocast, and the parent's gradient accumulation."""
        with super().optim_context(model), torch.autocast(get_device(), torch.bfloat16):
            yield
