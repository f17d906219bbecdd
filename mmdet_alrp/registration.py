"""Tell the registries of MMDetection and MMSegmentation where the parts of this package are.

A registry of MMEngine imports the modules of its locations when something is first looked up in
it. Naming ours there keeps the start of a program short: the heads alone need all of
`mmdet.models`, which takes seconds to import.
"""

from __future__ import annotations

from importlib import import_module

from mmengine.registry import Registry

# Parts for segmentation that are light are not here but imported at once, into MMEngine's own
# registries. Those do not look at their locations when a registry of a package above is asked, so
# what is slow and belongs to them stands under every package that may ask.
LOCATIONS = {
    'mmengine': {'OPTIM_WRAPPERS': ('mmdet_alrp.engine.bfloat16',)},
    'mmseg': {
        'MODELS': ('mmdet_alrp.segmentation.decode_heads',),
        'HOOKS': ('mmdet_alrp.segmentation.datasets.mask_check_hook',),
        'OPTIM_WRAPPERS': ('mmdet_alrp.engine.bfloat16',),
    },
    'mmdet': {
        'MODELS': ('mmdet_alrp.models',),
        'DATASETS': ('mmdet_alrp.datasets',),
        'METRICS': ('mmdet_alrp.evaluation',),
        'HOOKS': (
            'mmdet_alrp.engine.hooks',
            'mmdet_alrp.engine.score_calibration',
            'mmdet_alrp.engine.score_thresholds',
        ),
        'OPTIM_WRAPPERS': ('mmdet_alrp.engine.bfloat16',),
    },
}


def add_locations(packages: tuple[str, ...]) -> None:
    """Have the registries of the given packages import our modules with their own.

    Args:
        packages: Names of packages that are installed and fit; their models are not imported.
    """
    for package in LOCATIONS.keys() & packages:
        registries = import_module(f'{package}.registry')
        for name, modules in LOCATIONS[package].items():
            add_location(getattr(registries, name), modules)


def add_location(registry: Registry, modules: tuple[str, ...]) -> None:
    """Add modules to the ones that a registry imports; import them if it has done so already."""
    known = registry._locations
    known.extend(module for module in modules if module not in known)
    if registry._imported:
        for module in modules:
            import_module(module)
