"""Decode heads for MMSegmentation."""

from .f3_head import F3Head

__all__ = ['F3Head']
