"""When Triton's kernels rank a batch, and how they are run over all logits."""

from __future__ import annotations

import os
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mmdet_alrp.compatibility import first_line

# Environment variable: 0 leaves Triton alone; "interpret" lets its interpreter rank on a CPU, for
# tests, where TRITON_INTERPRET=1 is set before Triton is imported.
SWITCH = 'MMDET_ALRP_TRITON'
MAX_POSITIVES = 2**15  # all pairs of them are compared; with more, sorting is faster
DTYPES = (torch.float16, torch.bfloat16, torch.float32)
BLOCK = 2048  # logits a program
MOVED = 256  # positives a program


class Kernels(NamedTuple):
    """The modules with the kernels, imported at their first use."""

    logits: ModuleType
    tables: ModuleType
    pairs: ModuleType


@cache
def kernels() -> Kernels | None:
    """Import the kernels; None, with a warning, where Triton is broken."""
    try:
        from . import triton_logits, triton_pairs, triton_tables
    except ImportError as reason:
        warnings.warn(
            f'ranking losses run without Triton, several times slower: {reason} '
            f'(set {SWITCH}=0 to say that this is meant)',
            stacklevel=2,
        )
        return None
    return Kernels(triton_logits, triton_tables, triton_pairs)


@cache
def kernels_run(device: torch.device) -> bool:
    """Try the smallest kernel on a device; say in a warning why it does not run.

    Triton compiles at the first launch. It needs a C compiler and Python's headers for that, which
    small images of containers lack, and a driver that fits.
    """
    value = torch.zeros((), device=device)
    numbers = torch.ones(1, dtype=torch.float64, device=device)
    index = torch.zeros(1, dtype=torch.int64, device=device)
    try:
        with on_device_of(value):
            kernels().logits.move_positives[(1,)](
                numbers, numbers, index, 1, value, value.new_zeros(1), BLOCK=MOVED
            )
    except Exception as reason:  # whatever a compiler or a driver raises
        warnings.warn(
            f'ranking losses run without Triton on {device}, several times slower: '
            f'{type(reason).__name__}: {first_line(reason)} (Triton needs a C compiler and the '
            f'headers of Python, such as g++ and python3-dev; {SWITCH}=0 says that this is meant)',
            stacklevel=2,
        )
        return False
    return True


def can_fuse(logits: Tensor, delta: float) -> bool:
    """Tell whether Triton's kernels can rank these logits.

    They can on a GPU, for logits in half or single precision. float64, which nobody trains in, is
    left to float64 arithmetic.

    Args:
        logits: Scores before the sigmoid.
        delta: Half-width of the smoothed step.
    """
    if logits.dtype not in DTYPES or delta > 1e30:
        return False
    switch = os.environ.get(SWITCH)
    if switch == '0' or not (logits.is_cuda or switch == 'interpret'):
        return False
    found = find_spec('triton') is not None and kernels() is not None
    return found and kernels_run(logits.device)


@dataclass(frozen=True)
class Batch:
    """What the passes over all logits read, and the settings they share.

    Attributes:
        targets: One number a logit, or one class index a row.
        weights: Weight of each row, if ``num_classes``; else anything.
        images: Image of each logit or row, if ``by_image``; else anything.
        num_classes: Logits a row; 0 if ``targets`` has one number a logit.
        by_image: Whether each image is ranked on its own.
        hard: Whether the steps are hard.
        skew: Exponent of the error distribution.
        num_cells: Grid cells an image.
        edges: Breakpoints, float32, shape (k,).
        cells: Breakpoints before each cell, int32.
        grid: Lowest breakpoint, cells in a unit, largest offset, float32, shape (3,).
        steps: Steps of a search in the fullest cell, int64, shape (1,).
        hardest: Highest negative of each image in ordered bits, int32, if ``skew``.
    """

    targets: Tensor
    weights: Tensor
    images: Tensor
    num_classes: int
    by_image: bool
    hard: bool
    skew: float
    num_cells: int
    edges: Tensor
    cells: Tensor
    grid: Tensor
    steps: Tensor
    hardest: Tensor

    def launch(self, kernel: Any, logits: Tensor, *more: Any, **options: Any) -> None:
        """Run a kernel over all logits."""
        programs = -(-len(logits) // BLOCK)
        if not programs:
            return
        inputs = (self.targets, self.weights, self.images, len(logits))
        search = (self.edges, self.cells, self.grid, self.steps)
        settings = {
            'CLASSES': self.num_classes,
            'BY_IMAGE': self.by_image,
            'CELLS': self.num_cells,
            'HARD': self.hard,
            'BLOCK': BLOCK,
            'num_warps': 8,
        }
        args = (logits, *inputs, *search, self.hardest, *more)
        with on_device_of(logits):
            kernel[(programs,)](*args, **settings, **options)

    def gradient(self, logits: Tensor, lines: Tensor, factor: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the gradient on all logits: on negatives ``factor`` times a line a bin, else 0."""
        gradient = torch.empty_like(logits, dtype=dtype)
        write = kernels().logits.write_gradient
        self.launch(write, logits, self.skew, lines, factor, gradient, SKEWED=self.skew != 0)
        return gradient

    def fill(
        self, factor: Tensor, tensors: tuple[Tensor, ...], dtype: torch.dtype, num_logits: int
    ) -> Tensor:
        """Return a gradient, as :func:`~mmdet_alrp.ranking.spreads.fill_by_index` does."""
        logits, lines, pos_index, update, num_fp = tensors
        gradient = self.gradient(logits, lines, factor, dtype)
        programs = -(-len(pos_index) // MOVED)
        if programs:
            args = (update, num_fp, pos_index, len(pos_index), factor, gradient)
            with on_device_of(logits):
                kernels().logits.move_positives[(programs,)](*args, BLOCK=MOVED)
        return gradient


def on_device_of(values: Tensor) -> AbstractContextManager:
    """Make the device of ``values`` the one that kernels are launched on."""
    return torch.cuda.device(values.device) if values.is_cuda else nullcontext()
