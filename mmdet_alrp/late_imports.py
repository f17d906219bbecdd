"""Names of a package whose modules are imported when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmdet_alrp.compatibility import OPENMMLAB
from mmdet_alrp.registration import StandIn


def late_import(
    package: str, needed: tuple[str, ...] = OPENMMLAB, **modules: str
) -> Callable[[str], Any]:
    """Return a package's ``__getattr__``, for parts that need what takes seconds to import.

    Args:
        package: ``__name__`` of the package.
        needed: What must be installed for its late names beside torch.
        modules: Late name and the module of the package that defines it.
    """

    def __getattr__(name: str) -> Any:  # noqa: N807 - a module's own, PEP 562
        if name not in modules:
            raise AttributeError(f'module {package!r} has no attribute {name!r}')
        return StandIn(f'{package}.{modules[name]}', name, needed).load()

    return __getattr__
