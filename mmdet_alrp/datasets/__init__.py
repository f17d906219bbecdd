"""The embedded data set of drawn shapes. `ShapesDataset`, the registered one, needs MMDetection."""

from typing import TYPE_CHECKING

from mmdet_alrp.late_imports import late_import

from .shape_files import write_shapes
from .shape_options import ShapesOptions

if TYPE_CHECKING:
    from .shapes import ShapesDataset

__all__ = ['ShapesDataset', 'ShapesOptions', 'write_shapes']

__getattr__ = late_import(__name__, ShapesDataset='shapes')
