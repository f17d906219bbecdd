"""Decode heads for MMSegmentation, which has them imported: :mod:`mmdet_alrp.registration`."""

from .f3_head import F3Head

__all__ = ['F3Head']
