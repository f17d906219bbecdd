"""Non-maximum suppression, soft NMS and matching by NMS, as mmcv calls them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from .library import KERNELS, widen


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Suppress boxes that overlap one of a higher score.

    Of equal scores the first box wins; compiled operators of mmcv leave that open. Boxes whose IoU
    is within rounding of the threshold may be judged differently on a GPU and with ``offset=1``.

    Args:
        boxes: Corners x1, y1, x2, y2, shape (n, 4).
        scores: Shape (n,).
        iou_threshold: Boxes with a larger IoU are suppressed; compared in float32, as in mmcv.
        offset: 0 or 1; width is x2 - x1 + offset.

    Returns:
        Indices of the kept boxes by falling score, int64, shape (kept,).
    """
    if offset:
        boxes = torch.cat((boxes[:, :2], boxes[:, 2:] + offset), dim=1)
    return KERNELS.nms(*widen(boxes, scores), float(np.float32(iou_threshold)))


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Lower the scores of boxes that overlap a better one, on the CPU.

    Goes over the boxes in the order in which mmcv's loop leaves them, so equal scores come out in
    the same order too; scores agree to float32's rounding.

    Args:
        boxes: Corners, float32, shape (n, 4).
        scores: Shape (n,).
        dets: Output, shape (n, 5); the first rows get the corners and final scores.
        iou_threshold: IoU from which ``method`` 0 and 1 act.
        sigma: Width of ``method`` 2.
        min_score: Boxes that fall below it are dropped.
        method: 0 naive (score becomes 0), 1 linear, 2 Gaussian.
        offset: 0 or 1; width is x2 - x1 + offset.

    Returns:
        Indices of the boxes that are left, by falling final score, int64, shape (left,).
    """
    rows = np.column_stack((boxes.detach().numpy(), scores.detach().numpy()))
    order = np.arange(len(rows))
    decay = DECAYS[method]
    first, end = 0, len(rows)
    while first < end:
        best = first + int(rows[first:end, 4].argmax())
        rows[[first, best]], order[[first, best]] = rows[[best, first]], order[[best, first]]
        rest = rows[first + 1 : end]
        rest[:, 4] *= decay(box_overlaps(rows[first], rest, offset), iou_threshold, sigma)
        left = ~(rest[:, 4] < min_score)
        first += 1
        if not left.all():
            places = places_after_discard(left)
            end = first + len(places)
            order[first:end] = order[first + places]
            rows[first:end] = rest[places]
    dets[:end] = torch.from_numpy(rows[:end])
    return torch.from_numpy(order[:end])


def naive_decay(overlaps: np.ndarray, iou_threshold: float, sigma: float) -> np.ndarray:
    """Return 0 from the threshold on, 1 below."""
    return np.where(overlaps >= iou_threshold, 0, 1).astype(overlaps.dtype)


def linear_decay(overlaps: np.ndarray, iou_threshold: float, sigma: float) -> np.ndarray:
    """Return 1 - IoU from the threshold on, 1 below."""
    return np.where(overlaps >= iou_threshold, 1 - overlaps, np.ones_like(overlaps))


def gaussian_decay(overlaps: np.ndarray, iou_threshold: float, sigma: float) -> np.ndarray:
    """Return exp(-IoU^2 / sigma)."""
    return np.exp(-(overlaps * overlaps) / sigma)


DECAYS = (naive_decay, linear_decay, gaussian_decay)


def places_after_discard(left: np.ndarray) -> np.ndarray:
    """Return which box stands where after mmcv's loop has dropped some.

    It moves the last box that is left into each place that falls empty, from the front on.

    Args:
        left: Whether each box is left, shape (n,).
    """
    num_left = int(left.sum())
    places = np.arange(num_left)
    places[~left[:num_left]] = num_left + np.flatnonzero(left[num_left:])[::-1]
    return places


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Group every box that NMS keeps with those that it suppresses, on the CPU.

    Args:
        dets: Corners and scores, shape (n, 5).
        iou_threshold: Boxes with this IoU or a larger one are suppressed.

    Returns:
        A list of indices for each kept box: itself, then the others by falling score.
    """
    boxes = dets[:, :4].numpy()
    order = dets[:, 4].sort(descending=True, stable=True).indices.numpy()
    groups = []
    while order.size:
        best, rest = order[0], order[1:]
        is_match = box_overlaps(boxes[best], boxes[rest], 0) >= iou_threshold
        groups.append([int(best), *rest[is_match].tolist()])
        order = rest[~is_match]
    return groups


def box_overlaps(box: np.ndarray, others: np.ndarray, offset: int) -> np.ndarray:
    """Return the IoU of one box with others; NaN where both are empty.

    Args:
        box: Corners, shape (4,) or more; what follows the corners is not read.
        others: Corners, shape (n, 4) or more columns.
        offset: Added to every width and height.
    """
    low = np.maximum(box[:2], others[:, :2])
    high = np.minimum(box[2:4], others[:, 2:4])
    shared = np.maximum(high - low + offset, 0).prod(axis=1)
    area = (box[2] - box[0] + offset) * (box[3] - box[1] + offset)
    areas = (others[:, 2] - others[:, 0] + offset) * (others[:, 3] - others[:, 1] + offset)
    with np.errstate(invalid='ignore', divide='ignore'):
        return shared / (area + areas - shared)
