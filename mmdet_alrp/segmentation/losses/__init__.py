"""Segmentation losses that are the metric, or close to it."""

from .base import SegmentationLoss

__all__ = ['SegmentationLoss']
