"""Segmentation losses that are the metric, or close to it."""
