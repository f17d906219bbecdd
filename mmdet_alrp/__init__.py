"""Exact ranking-based losses and oLRP evaluation for MMDetection 3.x.

Importing the package registers its parts with MMDetection; `custom_imports` in a config does that.
Where mmengine, mmcv and mmdet are absent only `mmdet_alrp.ranking` is there.
"""

from mmdet_alrp.compatibility import check_stack, reports_itself
from mmdet_alrp.version import __version__

if not reports_itself() and check_stack():
    from mmdet_alrp import config_scope, datasets, engine, evaluation, models  # noqa: F401

__all__ = ['__version__']
