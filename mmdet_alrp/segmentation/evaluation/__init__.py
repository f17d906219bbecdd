"""Segmentation metrics over a data set."""
