"""How far scores are from what they promise: the sums behind calibration errors; NumPy only.

Reference:
    Kuzucu, Oksuz et al., On Calibration of Object Detectors, ECCV 2024, arXiv:2405.20459.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

IOU_BINS = 25  # of LaECE
TP_BINS = 10  # of D-ECE


@dataclass(frozen=True)
class ReliabilityBins:
    """Scores and targets summed in bins of equal width in [0, 1].

    Args:
        counts: Detections in each bin, shape (num_bins,).
        score_sums: Sum of their scores, shape (num_bins,).
        target_sums: Sum of their targets, shape (num_bins,).
    """

    counts: np.ndarray
    score_sums: np.ndarray
    target_sums: np.ndarray

    def error(self) -> float:
        """Mean over the detections of what their bin's mean score is off; NaN without any."""
        total = self.counts.sum()
        if total == 0:
            return float('nan')
        return float(np.abs(self.score_sums - self.target_sums).sum() / total)


def reliability_bins(scores: np.ndarray, targets: np.ndarray, num_bins: int) -> ReliabilityBins:
    """Sum scores and targets in bins; an edge belongs to the bin below it, 0 to the first.

    Args:
        scores: In [0, 1], shape (n,).
        targets: What the scores should be, in [0, 1], shape (n,).
        num_bins: Number of bins.
    """
    edges = np.arange(1, num_bins) / num_bins
    index = np.searchsorted(edges, scores, side='left')
    sums = (np.bincount(index, values, minlength=num_bins) for values in (scores, targets))
    return ReliabilityBins(np.bincount(index, minlength=num_bins), *sums)


def expected_calibration_error(
    scores: np.ndarray, targets: np.ndarray, num_bins: int = IOU_BINS
) -> float:
    """``sum_b (n_b / n) |mean of the scores - mean of the targets|``; NaN without a detection.

    LaECE_0 of one class with IoUs as targets; D-ECE with 1 and 0 for true and false positives of
    all classes and ``num_bins=10``.

    Args:
        scores: In [0, 1], shape (n,).
        targets: In [0, 1], shape (n,).
        num_bins: Bins of equal width in [0, 1].
    """
    return reliability_bins(scores, targets, num_bins).error()


def absolute_calibration_error(scores: np.ndarray, targets: np.ndarray) -> float:
    """``mean |score - target|``: every detection a bin of its own; NaN without a detection.

    LaACE_0 of one class with IoUs as targets.

    Args:
        scores: In [0, 1], shape (n,).
        targets: In [0, 1], shape (n,).
    """
    return float(np.abs(scores - targets).mean()) if len(scores) else float('nan')
