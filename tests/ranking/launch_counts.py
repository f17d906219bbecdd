"""Counts by hand, where no GPU is, what a step would launch and how often it would wait for it."""

from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes

WAITS = ('aten::_local_scalar_dense', 'aten::nonzero', 'aten::masked_select', 'aten::is_nonzero')
# What PyTorch's CUDA code launches where it is not one kernel: nonzero counts, scans and writes.
LAUNCHES = {'aten::nonzero': 5, 'aten::_local_scalar_dense': 0, 'aten::sort': 6}
WITHOUT_KERNEL = (
    'aten::empty',
    'aten::new_empty',
    'aten::detach',
    'aten::lift_fresh',
    'aten::promote_types',
)
MASKED = ('aten::index', 'aten::index_put', 'aten::index_put_')
MASKS = (torch.bool, torch.uint8)
VIEWS = ('aten::_unsafe_view', 'aten::_reshape_alias')


class LaunchCounter(TorchDispatchMode):
    """Counts operations of PyTorch that launch a kernel, kernels of Triton, and waits."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    @property
    def launches(self) -> int:
        return sum(LAUNCHES.get(name, 1) * count for name, count in self.counts.items())

    @property
    def waits(self) -> int:
        return sum(self.counts[name] for name in WAITS)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name
        is_view = func.is_view or name in VIEWS
        if not is_view and not name.startswith(WITHOUT_KERNEL):
            self.counts[name] += 1
        if name in MASKED and any(part is not None and part.dtype in MASKS for part in args[1]):
            self.counts['aten::nonzero'] += 1  # the operation looks for the places itself
        return func(*args, **(kwargs or {}))

    def __enter__(self):
        from triton.runtime import interpreter

        self._run = interpreter.GridExecutor.__call__

        def counted(executor, *args, **options):
            self.counts[f'triton::{executor.fn.__name__}'] += 1
            with _disable_current_modes():  # what the interpreter does is no launch
                return self._run(executor, *args, **options)

        interpreter.GridExecutor.__call__ = counted
        return super().__enter__()

    def __exit__(self, *error):
        from triton.runtime import interpreter

        interpreter.GridExecutor.__call__ = self._run
        return super().__exit__(*error)
