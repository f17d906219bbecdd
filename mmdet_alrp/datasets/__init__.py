"""The embedded data set of drawn shapes; registered when MMDetection is installed."""

from importlib.util import find_spec

from .shape_files import write_shapes
from .shape_options import ShapesOptions

__all__ = ['ShapesOptions', 'write_shapes']

if all(find_spec(name) is not None for name in ('torch', 'mmengine', 'mmcv', 'mmdet')):
    from mmdet_alrp import fitting_stack  # noqa: F401

    from .shapes import ShapesDataset

    __all__ += ['ShapesDataset']
