"""Looks at runs and detections: training curves, drawn detections, comparisons of two runs."""
