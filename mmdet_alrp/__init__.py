"""Exact ranking-based losses and oLRP evaluation for MMDetection 3.x, and segmentation losses.

Importing the package registers its parts with MMDetection and MMEngine, where MMSegmentation finds
those for segmentation; `custom_imports` in a config does that. Where mmdet is absent only the parts
for segmentation are registered, and without mmengine only `mmdet_alrp.ranking` is there.

Where something installed does not fit, importing the package or a part that needs the stack is an
error that says so in a line. A part that needs torch alone, such as `mmdet_alrp.ranking`, can be
imported everywhere; what fits is registered then too.
"""

from mmdet_alrp.import_reason import imported_part
from mmdet_alrp.registration import register
from mmdet_alrp.version import __version__

__all__ = ['__version__']

register(imported_part(__name__))
