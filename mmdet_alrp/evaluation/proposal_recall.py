"""Average recall of class-agnostic proposals.

MMDetection 3.3 computes it through an array of arrays of different lengths, which NumPy 1.24 and
later refuse; the definition here is the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as mask_api


def average_recall(
    gt_boxes: Sequence[np.ndarray],
    proposals: Sequence[np.ndarray],
    proposal_nums: Sequence[int],
    iou_thrs: np.ndarray,
) -> np.ndarray:
    """Recall averaged over IoU thresholds, for several numbers of proposals an image.

    In an image the pair of box and proposal with the highest IoU is matched first, then both are
    taken away.

    Args:
        gt_boxes: Boxes (x, y, width, height) of every image, each of shape (num_gt, 4).
        proposals: Proposals of every image, best first, each of shape (n, 4).
        proposal_nums: How many of the best proposals of an image count.
        iou_thrs: IoU thresholds, shape (t,).

    Returns:
        Average recall for every entry of ``proposal_nums``; NaN without any box.
    """
    tables = [
        mask_api.iou(found.astype(float), boxes.astype(float), [0] * len(boxes))
        if len(boxes) and len(found)
        else np.zeros((0, len(boxes)))
        for boxes, found in zip(gt_boxes, proposals, strict=True)
    ]
    recalls = []
    for num in proposal_nums:
        matched = np.concatenate([_greedy_ious(table[:num]) for table in tables] or [np.zeros(0)])
        hits = matched[:, None] >= np.atleast_1d(iou_thrs)
        recalls.append(hits.mean() if hits.size else np.nan)
    return np.array(recalls)


def _greedy_ious(table: np.ndarray) -> np.ndarray:
    """IoU with which each column (ground truth) is matched, in any order; 0 if it is not."""
    table = table.copy()
    matched = np.zeros(table.shape[1])
    for turn in range(min(table.shape)):
        row, column = np.unravel_index(np.argmax(table), table.shape)
        matched[turn] = table[row, column]
        table[row, :] = -1.0
        table[:, column] = -1.0
    return matched
