"""IoU, GIoU, DIoU and CIoU losses of matched boxes, in plain PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

SMALLEST = 1e-9  # what is divided by is no smaller; boxes may be in units of the image


def matched_ious(boxes: Tensor, target_boxes: Tensor) -> Tensor:
    """Return the IoU of each box with its target, shape (n,).

    Args:
        boxes: x1, y1, x2, y2, floating point, shape (n, 4).
        target_boxes: Likewise.
    """
    shared, union = _shared_and_union(boxes, target_boxes)
    return shared / union.clamp(min=SMALLEST)


def iou_loss(boxes: Tensor, target_boxes: Tensor) -> Tensor:
    """Return ``1 - IoU`` of each box with its target, in [0, 1], shape (n,).

    Args:
        boxes: x1, y1, x2, y2, floating point, shape (n, 4).
        target_boxes: Likewise.
    """
    return 1 - matched_ious(boxes, target_boxes)


def giou_loss(boxes: Tensor, target_boxes: Tensor) -> Tensor:
    """Return ``1 - GIoU`` of each box with its target, in [0, 2], shape (n,).

    Args:
        boxes: x1, y1, x2, y2, floating point, shape (n, 4).
        target_boxes: Likewise.

    Reference:
        Rezatofighi et al., CVPR 2019, arXiv:1902.09630.
    """
    shared, union = _shared_and_union(boxes, target_boxes)
    union = union.clamp(min=SMALLEST)
    hull = _hull_sides(boxes, target_boxes).prod(1).clamp(min=SMALLEST)
    return 1 - shared / union + (hull - union) / hull


def diou_loss(boxes: Tensor, target_boxes: Tensor) -> Tensor:
    """Return ``1 - DIoU`` of each box with its target, in [0, 2], shape (n,).

    Args:
        boxes: x1, y1, x2, y2, floating point, shape (n, 4).
        target_boxes: Likewise.

    Reference:
        Zheng et al., AAAI 2020, arXiv:1911.08287.
    """
    return iou_loss(boxes, target_boxes) + _centre_distance(boxes, target_boxes)


def ciou_loss(boxes: Tensor, target_boxes: Tensor) -> Tensor:
    """Return the Complete-IoU loss of each box with its target, shape (n,).

    The weight of the shape term is a constant, as published, and 0 below IoU .5, as in
    MMDetection.

    Args:
        boxes: x1, y1, x2, y2, floating point, shape (n, 4).
        target_boxes: Likewise.

    Reference:
        Zheng et al., AAAI 2020, arXiv:1911.08287.
    """
    ious = matched_ious(boxes, target_boxes)
    shape = (_angle(target_boxes) - _angle(boxes)) ** 2 * (4 / math.pi**2)
    with torch.no_grad():
        weight = torch.where(ious > 0.5, shape / (1 - ious + shape).clamp(min=SMALLEST), 0)
    loss = 1 - ious + _centre_distance(boxes, target_boxes) + weight * shape
    return loss.clamp(0, 2)


BOX_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    'iou': iou_loss,
    'giou': giou_loss,
    'diou': diou_loss,
    'ciou': ciou_loss,
}
# Largest value of each: what a localisation error is scaled by.
BOX_LOSS_RANGE = {'iou': 1.0, 'giou': 2.0, 'diou': 2.0, 'ciou': 2.0}


def _areas(boxes: Tensor) -> Tensor:
    """Return the areas; 0 of boxes whose corners are the wrong way round, shape (n,)."""
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)


def _shared_and_union(boxes: Tensor, target_boxes: Tensor) -> tuple[Tensor, Tensor]:
    top_left = torch.maximum(boxes[:, :2], target_boxes[:, :2])
    bottom_right = torch.minimum(boxes[:, 2:], target_boxes[:, 2:])
    shared = (bottom_right - top_left).clamp(min=0).prod(1)
    return shared, _areas(boxes) + _areas(target_boxes) - shared


def _hull_sides(boxes: Tensor, target_boxes: Tensor) -> Tensor:
    """Return width and height of the smallest box around both, shape (n, 2)."""
    # Of a box whose corners are the wrong way round, both: its centre must lie inside.
    low = torch.minimum(boxes[:, :2], boxes[:, 2:])
    high = torch.maximum(boxes[:, :2], boxes[:, 2:])
    return torch.maximum(high, target_boxes[:, 2:]) - torch.minimum(low, target_boxes[:, :2])


def _centre_distance(boxes: Tensor, target_boxes: Tensor) -> Tensor:
    """Return the squared distance of the centres over that of the hull's corners, shape (n,)."""
    between = (boxes[:, :2] + boxes[:, 2:] - target_boxes[:, :2] - target_boxes[:, 2:]) / 2
    diagonal = (_hull_sides(boxes, target_boxes) ** 2).sum(1).clamp(min=SMALLEST)
    return (between**2).sum(1) / diagonal


def _angle(boxes: Tensor) -> Tensor:
    width, height = (boxes[:, 2:] - boxes[:, :2]).unbind(1)
    return torch.atan(width / height.clamp(min=SMALLEST))
