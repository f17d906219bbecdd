"""Tell the registries of MMEngine and of its tool boxes where the parts of this package are.

A registry of MMEngine imports the modules of its locations when something is first looked up in
it. Naming ours there keeps the start of a program short: the heads alone need all of
`mmdet.models`, which takes seconds to import. Tool boxes need not be imported for that: when
somebody does, their registries enter themselves in MMEngine's, and ours are named there then.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache, partial
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from mmdet_alrp.compatibility import check_stack, examine, is_importable

if TYPE_CHECKING:
    from mmengine.registry import Registry

NEED_TORCH_ALONE = ('criteria', 'ranking')
REPORT = '__main__'  # `python -m mmdet_alrp` says itself what does not fit

# Registries of tool boxes find what is in those of MMEngine, but do not have them look at their
# locations: what belongs there stands under every tool box too.
SEGMENTATION = {
    'MODELS': ('mmdet_alrp.segmentation.losses',),
    'METRICS': ('mmdet_alrp.segmentation.evaluation',),
    'OPTIM_WRAPPERS': ('mmdet_alrp.engine.bfloat16',),
}
DATA = ('mmdet_alrp.segmentation.datasets',)  # mmcv reads their images
LOCATIONS: dict[str, dict[str, tuple[str, ...]]] = {
    'mmengine': SEGMENTATION,
    'mmseg': {
        **SEGMENTATION,
        'MODELS': ('mmdet_alrp.segmentation.decode_heads', *SEGMENTATION['MODELS']),
        'DATASETS': DATA,
        'TRANSFORMS': DATA,
        'HOOKS': ('mmdet_alrp.segmentation.datasets.mask_check_hook',),
    },
    'mmdet': {
        'MODELS': ('mmdet_alrp.models', *SEGMENTATION['MODELS']),
        'METRICS': ('mmdet_alrp.evaluation', *SEGMENTATION['METRICS']),
        'OPTIM_WRAPPERS': SEGMENTATION['OPTIM_WRAPPERS'],
        'DATASETS': ('mmdet_alrp.datasets', *DATA),
        'TRANSFORMS': DATA,
        'HOOKS': (
            'mmdet_alrp.engine.hooks',
            'mmdet_alrp.engine.score_calibration',
            'mmdet_alrp.engine.score_thresholds',
        ),
    },
}


class ToolBoxes(dict):
    """The registries of tool boxes under one of MMEngine's, by scope.

    MMEngine enters a registry here when its tool box is imported.

    Args:
        present: Those that are there already.
        welcome: Called with scope and registry of each.
    """

    def __init__(
        self, present: dict[str, Registry], welcome: Callable[[str, Registry], None]
    ) -> None:
        super().__init__()
        self._welcome = welcome
        for scope, registry in present.items():
            self[scope] = registry

    def __setitem__(self, scope: str, registry: Registry) -> None:
        """Take a registry in."""
        super().__setitem__(scope, registry)
        self._welcome(scope, registry)


def register(part: str = '') -> None:
    """Have MMEngine and its tool boxes find the parts of this package by their names.

    A package is imported once: who has imported a part that needs torch alone, and names the whole
    package in a config afterwards, must find everything. So that registers the same; but nothing of
    it fails then, and versions are compared only when a tool box comes that has use for it.

    Args:
        part: Name in this package of what is imported; empty for the package itself.

    Raises:
        ImportError: If something does not fit, and ``part`` needs more than torch; one line for
            each misfit. Otherwise a warning says so when MMDetection or MMSegmentation is imported.
    """
    if part == REPORT:
        return
    must_fit = part not in NEED_TORCH_ALONE
    usable = cache(check_stack if must_fit else _packages_that_fit)
    fits = 'mmengine' in usable() if must_fit else examine('mmengine').fits
    if not fits:
        return
    try:
        registries = _mmengine_registries()
    except Exception:  # whatever a broken MMEngine raises: it can ask for no part either
        if must_fit:
            raise
        return
    if must_fit:
        import_module('mmdet_alrp.segmentation')
        if is_importable('mmcv'):
            import_module(*DATA)
    for name in {name for modules in LOCATIONS.values() for name in modules}:
        root = getattr(registries, name)
        add_location(root, LOCATIONS['mmengine'].get(name, ()))
        root._children = ToolBoxes(root.children, partial(_welcome, name, usable))


def add_location(registry: Registry, modules: tuple[str, ...]) -> None:
    """Add modules to the ones that a registry imports when something is next looked up in it."""
    new = [module for module in modules if module not in registry._locations]
    if not new:
        return
    if registry._locations:
        registry._locations.extend(new)  # it may be importing them just now
    else:
        registry._locations = new  # all registries without locations share one list
    registry._imported = False


def _welcome(
    name: str, usable: Callable[[], tuple[str, ...]], scope: str, registry: Registry
) -> None:
    """Tell a registry of a tool box of our modules; its root is called ``name``."""
    from mmengine.config.utils import MODULE2PACKAGE

    modules = LOCATIONS.get(scope, SEGMENTATION).get(name, ())
    if scope in LOCATIONS:
        known = bool(modules) and scope in usable()
    else:  # an old tool box without locations goes another way, which they would close
        known = bool(registry._locations) or scope not in MODULE2PACKAGE
    if known:
        add_location(registry, modules)


def _packages_that_fit() -> tuple[str, ...]:
    try:
        return check_stack()
    except ImportError as error:
        warnings.warn(f'{error}\nOnly what needs torch alone can be used.', stacklevel=2)
        return ()


def _mmengine_registries() -> ModuleType:
    """Return MMEngine's registries; its configs and checkpoints learn of this package."""
    import_module('mmdet_alrp.config_scope')
    import_module('mmdet_alrp.engine')
    return import_module('mmengine.registry')
