"""Small data sets for semantic segmentation."""

from __future__ import annotations

from mmengine.registry import DATASETS

from .image_mask import ImageMaskDataset


@DATASETS.register_module(force=True)
class ShapesSemanticDataset(ImageMaskDataset):
    """Drawn shapes with masks of class ids, made by ``tools/make_shapes.py --kind semantic``.

    Background, clutter and distractors are a class of their own, with id 0. The set must have been
    drawn with all classes.
    """

    METAINFO = {  # noqa: RUF012 - the form that MMEngine's data sets have
        # names and colours of mmdet_alrp.datasets.shape_outlines, whose package imports MMDetection
        'classes': ('background', 'ellipse', 'rectangle', 'triangle', 'star', 'ring'),
        'palette': [
            (40, 40, 40),
            (230, 60, 60),
            (60, 130, 230),
            (60, 190, 90),
            (240, 170, 30),
            (170, 80, 210),
        ],
    }


@DATASETS.register_module(force=True)
class CamVidDataset(ImageMaskDataset):
    """CamVid with the eleven classes that SegNet's authors merged its labels into; 255 is ignored.

    Reference:
        Brostow et al., ECCV 2008 (the data); Badrinarayanan et al., arXiv:1511.00561 (the classes).
    """

    METAINFO = {  # noqa: RUF012 - the form that MMEngine's data sets have
        'classes': (
            'sky',
            'building',
            'pole',
            'road',
            'pavement',
            'tree',
            'sign',
            'fence',
            'car',
            'pedestrian',
            'bicyclist',
        ),
        'palette': [
            (128, 128, 128),
            (128, 0, 0),
            (192, 192, 128),
            (128, 64, 128),
            (0, 0, 192),
            (128, 128, 0),
            (192, 128, 128),
            (64, 64, 128),
            (64, 0, 128),
            (64, 64, 0),
            (0, 128, 192),
        ],
    }
