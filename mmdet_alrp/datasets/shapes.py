"""The embedded data set of drawn shapes as MMDetection sees it."""

from __future__ import annotations

from mmdet.datasets import CocoDataset
from mmdet.registry import DATASETS

from .shape_outlines import CLASS_OUTLINES, PALETTE


@DATASETS.register_module()
class ShapesDataset(CocoDataset):
    """COCO-format set of drawn shapes, made by ``tools/make_shapes.py``.

    A set that was drawn with fewer classes needs them in ``metainfo=dict(classes=...)``.
    """

    METAINFO = {  # noqa: RUF012 - the form that MMDetection's data sets have
        'classes': tuple(CLASS_OUTLINES),
        'palette': [PALETTE[name] for name in CLASS_OUTLINES],
    }
