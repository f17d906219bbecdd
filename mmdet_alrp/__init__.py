"""Exact ranking-based losses and oLRP evaluation for MMDetection 3.x, and segmentation losses.

Importing the package tells MMEngine's registries the names of its parts; `custom_imports` in a
config does that. A part is imported, and the stack checked, when it is first built by its name.
`mmdet_alrp.ranking` and `mmdet_alrp.criteria` need torch alone and work on any stack.
"""

from mmdet_alrp.config_files import config_path
from mmdet_alrp.registration import register_parts
from mmdet_alrp.version import __version__

__all__ = ['__version__', 'config_path']

register_parts()
