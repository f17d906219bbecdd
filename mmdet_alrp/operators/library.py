"""torchvision's compiled operators, and the precision in which they can be called."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module, metadata, util
from pathlib import Path

import torch
from torch import Tensor

KERNELS = torch.ops.torchvision


def load_kernels() -> None:
    """Load the library of torchvision's operators, alone where that is possible.

    `import torchvision` loads it too, but takes as long as importing torch does: it imports models
    and the compiler of torch.

    Raises:
        ImportError: If there is no torchvision, or its operators do not fit this torch.
    """
    found = util.find_spec('torchvision')
    if found is None or not found.origin:
        raise ImportError('torchvision is not installed')
    for file in sorted(Path(found.origin).parent.glob('_C*')):
        with suppress(OSError):  # the import below says why
            torch.ops.load_library(str(file))
    if not hasattr(KERNELS, 'nms'):
        import_module('torchvision')
    if not hasattr(KERNELS, 'nms'):  # newer releases say nothing when their library does not load
        raise ImportError('torchvision has no operators that load with this torch')


load_kernels()


def widen(*tensors: Tensor) -> list[Tensor]:
    """Bring tensors to one floating type that torchvision has kernels for.

    That is float32, float64, and float16 where all are on a GPU. bfloat16 has no kernels, float16
    on a CPU only some: both are computed in float32.
    """
    dtype = tensors[0].dtype
    for tensor in tensors[1:]:
        dtype = torch.promote_types(dtype, tensor.dtype)
    if not (dtype == torch.float16 and all(tensor.is_cuda for tensor in tensors)):
        dtype = torch.promote_types(dtype, torch.float32)
    return [tensor.to(dtype) for tensor in tensors]


def get_compiler_version() -> str:
    """Return what mmcv's environment report shows in place of the compiler."""
    return f'none, operators of torchvision {metadata.version("torchvision")}'


def get_compiling_cuda_version() -> str:
    """Return the CUDA version of torchvision's operators, such as 13.0, or 'not available'."""
    version = KERNELS._cuda_version()
    return 'not available' if version <= 0 else f'{version // 1000}.{version % 1000 // 10}'
