"""LRP of one class as a function of the score threshold; NumPy only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ClassMatches:
    """Detections of one class that COCO's matching counts, in descending order of score.

    Detections matched to ignored ground truth, and unmatched ones outside the area range, are
    already left out.

    Args:
        scores: Confidence, shape (n,).
        is_tp: Whether the detection is a true positive, shape (n,).
        ious: IoU of a true positive with its ground truth, 0 for a false positive, shape (n,).
        detection_ids: COCO ids of the detections, shape (n,).
        num_gt: Number of ground truth objects that are not ignored.
    """

    scores: np.ndarray
    is_tp: np.ndarray
    ious: np.ndarray
    detection_ids: np.ndarray
    num_gt: int


@dataclass(frozen=True)
class LRPCurve:
    """Counts and LRP at every distinct score, highest first; all arrays have the same length.

    A threshold at score s keeps every detection with a score of at least s, so detections with
    tied scores enter together.

    Args:
        thresholds: The distinct scores.
        num_tp: True positives at or above the threshold.
        num_fp: False positives at or above the threshold.
        loc_sum: Sum of 1 - IoU over these true positives.
        lrp: Localisation-Recall-Precision error in [0, 1].
        num_gt: Number of ground truth objects.
    """

    thresholds: np.ndarray
    num_tp: np.ndarray
    num_fp: np.ndarray
    loc_sum: np.ndarray
    lrp: np.ndarray
    num_gt: int

    @property
    def precision(self) -> np.ndarray:
        """Precision at every threshold."""
        return self.num_tp / (self.num_tp + self.num_fp)

    @property
    def recall(self) -> np.ndarray:
        """Recall at every threshold."""
        return self.num_tp / self.num_gt


@dataclass(frozen=True)
class OptimalLRP:
    """The minimum of an :class:`LRPCurve` and its components; NaN where undefined.

    Args:
        olrp: Minimum of LRP over thresholds.
        loc: Mean of 1 - IoU over the true positives there.
        fp: Share of false positives among the detections there (1 - precision).
        fn: Share of missed ground truth there (1 - recall).
        threshold: The LRP-optimal score threshold.
    """

    olrp: float
    loc: float
    fp: float
    fn: float
    threshold: float


def lrp_curve(matches: ClassMatches, tau: float) -> LRPCurve:
    """LRP at every distinct score of one class.

    ``LRP = (sum_TP (1 - IoU) / (1 - tau) + N_FP + N_FN) / (N_TP + N_FP + N_FN)``.

    Args:
        matches: Counted detections; ``num_gt`` must be positive.
        tau: IoU at which a detection becomes a true positive, in (0, 1).

    Reference:
        Oksuz et al., Localization Recall Precision, ECCV 2018, arXiv:1807.01696; TPAMI 2021,
        arXiv:2011.10772.
    """
    scores, is_tp = matches.scores, matches.is_tp
    # Only the last of several equal scores is a threshold of its own.
    last = np.flatnonzero(np.append(scores[1:] != scores[:-1], len(scores) > 0))
    num_tp = np.cumsum(is_tp)[last]
    num_fp = np.cumsum(~is_tp)[last]
    loc_sum = np.cumsum(np.where(is_tp, 1.0 - matches.ious, 0.0))[last]
    num_fn = matches.num_gt - num_tp
    lrp = (loc_sum / (1.0 - tau) + num_fp + num_fn) / (num_tp + num_fp + num_fn)
    return LRPCurve(scores[last], num_tp, num_fp, loc_sum, lrp, matches.num_gt)


def optimal_lrp(curve: LRPCurve) -> OptimalLRP:
    """Minimum of the curve over all thresholds.

    Without a true positive LRP is 1 at every threshold, so oLRP and FN are 1 and the rest is NaN.
    Thresholds above the best true positive have LRP 1 as well and no localisation error, hence
    the minimum is looked for where there is a true positive; of equal minima the one at the
    highest score is taken. Detections with one score are kept or left out together; the published
    code cuts between any two detections, so with ties its minimum can be lower.

    Args:
        curve: LRP of one class, also one without a detection.
    """
    with_tp = curve.num_tp > 0
    if not with_tp.any():
        return OptimalLRP(1.0, np.nan, np.nan, 1.0, np.nan)
    best = int(np.argmin(np.where(with_tp, curve.lrp, np.inf)))
    num_tp = curve.num_tp[best]
    return OptimalLRP(
        olrp=float(curve.lrp[best]),
        loc=float(curve.loc_sum[best] / num_tp),
        fp=float(curve.num_fp[best] / (num_tp + curve.num_fp[best])),
        fn=float(1.0 - num_tp / curve.num_gt),
        threshold=float(curve.thresholds[best]),
    )


def rank_correlation(scores: np.ndarray, ious: np.ndarray) -> float:
    """Pearson correlation between the rank by score and the rank by IoU; equal values share a rank.

    Args:
        scores: Scores of the true positives, shape (n,).
        ious: Their IoUs, shape (n,).

    Returns:
        A number in [-1, 1]; NaN for fewer than two values or when either side is constant.

    Reference:
        Oksuz et al., NeurIPS 2020, arXiv:2009.13592, Section 5.2.
    """
    if len(scores) < 2:
        return float('nan')
    by_score, by_iou = _centred_ranks(scores), _centred_ranks(ious)
    norm = np.sqrt((by_score @ by_score) * (by_iou @ by_iou))
    return float(np.clip(by_score @ by_iou / norm, -1.0, 1.0)) if norm > 0 else float('nan')


def _centred_ranks(values: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2.0
    return ranks[inverse] - (len(values) + 1) / 2.0
