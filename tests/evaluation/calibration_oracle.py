"""Slow calibration errors in plain Python, from the definitions; no code of the package."""

import math

from lrp_oracle import best_of, box_overlap, lrp_by_threshold, mask_overlap, match_class, mean


def survivors(scene, cat_id, overlap):
    """(score, IoU) and (score, is true positive at .5) above the LRP-optimal threshold at tau 0."""
    rows, num_gt = match_class(scene, cat_id, 'all', 0.0, overlap)
    rows_50, _ = match_class(scene, cat_id, 'all', 0.5, overlap)
    threshold = optimal_threshold(rows, num_gt)
    by_iou = [(score, iou) for score, _, iou in rows if score >= threshold]
    by_tp = [(score, float(is_tp)) for score, is_tp, _ in rows_50 if score >= threshold]
    return by_iou, by_tp


def optimal_threshold(rows, num_gt):
    """Highest score at which LRP is lowest; 0 where no detection belongs to an object."""
    if num_gt == 0 or not any(is_tp for _, is_tp, _ in rows):
        return 0.0
    lowest = best_of(rows, num_gt, 0.0)
    table = lrp_by_threshold(rows, num_gt, 0.0)
    return max(threshold for threshold, row in table.items() if row == lowest)


def binned_error(pairs, num_bins):
    total = 0.0
    for index in range(num_bins):
        low, high = index / num_bins, (index + 1) / num_bins
        inside = [(p, q) for p, q in pairs if low < p <= high or (index == 0 and p == 0)]
        if inside:
            mean_p = sum(p for p, _ in inside) / len(inside)
            mean_q = sum(q for _, q in inside) / len(inside)
            total += len(inside) / len(pairs) * abs(mean_p - mean_q)
    return total if pairs else math.nan


def slow_calibration(scene, iou_type='bbox'):
    """The three figures, and LaECE_0 by class name."""
    overlap = mask_overlap if iou_type == 'segm' else box_overlap
    laece, laace, all_tp = {}, [], []
    for cat in scene['categories']:
        by_iou, by_tp = survivors(scene, cat['id'], overlap)
        all_tp += by_tp
        laece[cat['name']] = binned_error(by_iou, 25)
        laace.append(sum(abs(p - q) for p, q in by_iou) / len(by_iou) if by_iou else math.nan)
    figures = {'LaECE_0': mean(laece.values()), 'LaACE_0': mean(laace)}
    return {**figures, 'D_ECE': binned_error(all_tp, 10)}, laece
