"""Exact ranking-based losses and oLRP evaluation for MMDetection 3.x, and segmentation losses.

Importing the package registers its parts with MMDetection and MMEngine, where MMSegmentation finds
those for segmentation; `custom_imports` in a config does that. Where mmdet is absent only the parts
for segmentation are registered, and without mmengine only `mmdet_alrp.ranking` is there.
"""

from mmdet_alrp.compatibility import check_stack, reports_itself
from mmdet_alrp.version import __version__

packages = () if reports_itself() else check_stack()
if 'mmengine' in packages:
    from mmdet_alrp import config_scope, engine, registration, segmentation  # noqa: F401

    registration.add_locations(packages)

__all__ = ['__version__']
