"""MMDetection's MaxIoUAssigner and ATSSAssigner for all images of a batch at once.

MMDetection assigns image by image and, in places, box by box, with a look at the device's results
in between; on a fast GPU that is a third of a RetinaNet's step. Here ground truth is padded to the
most boxes of an image, and everything else is done for all images together. What comes out is the
same to the last bit, ties included. (On a GPU that holds as far as ``topk`` orders equal distances
alike in tensors of any shape, which PyTorch does not promise.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from mmdet.models.task_modules.assigners import ATSSAssigner, BboxOverlaps2D, MaxIoUAssigner
from torch import Tensor

from .level_assigner import LevelAssigner

FAR = -100000000.0  # ATSSAssigner's overlap of a prior that is no candidate
MAX_PAIRS = 2**24  # priors times boxes at once, some 40 bytes each
HOSTS = ('cpu',)  # devices that gain nothing from many images at once, and lose their cache

# (assigner, priors, priors of each level, boxes, number of boxes of each image) to assigned boxes
AssignBatch = Callable[[Any, Tensor, list[int], Tensor, list[int]], Tensor]


def batch_assignment(assigner: Any) -> tuple[Any, AssignBatch] | None:
    """Return an assigner and how it assigns a batch, or None if it has to go image by image.

    Only the two assigners themselves are known, no class derived from them, and neither with
    settings that look at other things than the IoUs of boxes and priors.

    Args:
        assigner: A head's assigner.
    """
    if isinstance(assigner, LevelAssigner):
        assigner = assigner.assigner
    calculator = getattr(assigner, 'iou_calculator', None)
    if type(calculator) is not BboxOverlaps2D or calculator.dtype == 'fp16':
        return None
    if type(assigner) is MaxIoUAssigner:
        thresholds = assigner.neg_iou_thr
        known = isinstance(thresholds, (float, tuple)) and assigner.perm_repeat_gt_cfg is None
        return (assigner, assign_by_iou) if known and assigner.gpu_assign_thr <= 0 else None
    if type(assigner) is ATSSAssigner and assigner.alpha is None:
        return assigner, assign_by_distance
    return None


def assign_images(
    assigner: Any, assign: AssignBatch, priors: Tensor, levels: list[int], boxes: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """Assign a box, or none, to every prior of every image.

    Args:
        assigner: The assigner whose settings count.
        assign: How it assigns a batch.
        priors: Boxes of the priors, the same in all images, shape (num_priors, 4).
        levels: Number of priors of each level.
        boxes: True boxes of each image, shape (num_boxes, 4).

    Returns:
        Number of the assigned box, from 1, or 0 for background or -1 for a prior that takes no
        part, int64, shape (num_images, num_priors); and the true boxes, padded with zeros, shape
        (num_images, most boxes of an image, 4).
    """
    counts = [len(part) for part in boxes]
    padded = torch.nn.utils.rnn.pad_sequence(boxes, batch_first=True)
    at_once = max(1, MAX_PAIRS // max(1, len(priors) * padded.size(1)))
    if priors.device.type in HOSTS:
        at_once = 1
    parts = []
    for start in range(0, len(boxes), at_once):
        some = counts[start : start + at_once]
        if not max(some):
            parts.append(priors.new_zeros(len(some), len(priors), dtype=torch.int64))
            continue
        few = padded[start : start + at_once, : max(some)]
        parts.append(assign(assigner, priors, levels, few, some))
    return torch.cat(parts), padded


def _real_boxes(boxes: Tensor, counts: list[int]) -> Tensor | None:
    """Tell true boxes from padding, shape (num_images, most boxes); None if there is no padding."""
    if min(counts) == boxes.size(1):
        return None
    numbers = torch.arange(boxes.size(1), device=boxes.device)
    return numbers < torch.tensor(counts).to(boxes.device, non_blocking=True)[:, None]


def assign_by_iou(
    assigner: MaxIoUAssigner, priors: Tensor, levels: list[int], boxes: Tensor, counts: list[int]
) -> Tensor:
    """Assign as MaxIoUAssigner does; arguments as of :data:`AssignBatch`."""
    overlaps = assigner.iou_calculator(boxes, priors.expand(len(boxes), -1, -1))
    real = _real_boxes(boxes, counts)
    if real is not None:
        overlaps.masked_fill_(~real[:, :, None], -1)
    best, nearest = overlaps.max(dim=1)
    low, high = 0, assigner.neg_iou_thr
    if isinstance(high, tuple):
        low, high = high
    assigned = torch.full_like(nearest, -1)
    assigned.masked_fill_((best >= low) & (best < high), 0)
    assigned = torch.where(best >= assigner.pos_iou_thr, nearest + 1, assigned)
    if assigner.match_low_quality:
        own_best, own_nearest = overlaps.max(dim=2, keepdim=True)
        wanted = own_best >= assigner.min_pos_iou
        if real is not None:
            wanted &= real[:, :, None]
        if assigner.gt_max_assign_all:
            matched = (overlaps == own_best) & wanted
        else:
            matched = torch.zeros_like(overlaps, dtype=torch.bool).scatter_(2, own_nearest, wanted)
        last = _last_matched(matched)
        assigned = torch.where(last > 0, last, assigned)
    if not min(counts):  # an image without boxes is background, whatever the thresholds
        assigned.masked_fill_(~real.any(1, keepdim=True), 0)
    return assigned


def _last_matched(matched: Tensor) -> Tensor:
    """Return the last box, from 1, that takes each prior, 0 for none, (num_images, num_priors)."""
    num_images, num_boxes, num_priors = matched.shape
    if matched.device.type in HOSTS:  # few do: nothing to wait for, and no large table to write
        image, box, prior = matched.nonzero(as_tuple=True)
        last = box.new_zeros(num_images * num_priors)
        last.scatter_reduce_(0, image * num_priors + prior, box + 1, 'amax')
        return last.view(num_images, num_priors)
    numbers = torch.arange(1, num_boxes + 1, dtype=torch.int32, device=matched.device)
    return torch.where(matched, numbers[:, None], 0).amax(dim=1).long()


def assign_by_distance(
    assigner: ATSSAssigner, priors: Tensor, levels: list[int], boxes: Tensor, counts: list[int]
) -> Tensor:
    """Assign as ATSSAssigner does; arguments as of :data:`AssignBatch`."""
    overlaps = assigner.iou_calculator(priors.expand(len(boxes), -1, -1), boxes)
    centres = torch.stack([priors[:, 0] + priors[:, 2], priors[:, 1] + priors[:, 3]], 1) / 2.0
    aims = torch.stack([boxes[..., 0] + boxes[..., 2], boxes[..., 1] + boxes[..., 3]], -1) / 2.0
    distances = (centres[:, None, :] - aims[:, None, :, :]).pow(2).sum(-1).sqrt()
    candidates, start = [], 0
    for size in levels:
        on_level = distances[:, start : start + size]
        nearest = on_level.topk(min(assigner.topk, size), dim=1, largest=False)[1]
        candidates.append(nearest + start)
        start += size
    index = torch.cat(candidates, dim=1)  # (num_images, num_candidates, num_boxes)
    chosen = overlaps.gather(1, index)
    # How a mean is rounded depends on the number of columns: image by image, as there.
    thresholds = torch.zeros_like(chosen[:, 0])
    for threshold, own, count in zip(thresholds, chosen, counts, strict=True):
        if count:
            own = own[:, :count].contiguous()
            torch.add(own.mean(0), own.std(0), out=threshold[:count])
    positive = chosen >= thresholds[:, None]
    middle = centres[index]  # (num_images, num_candidates, num_boxes, 2)
    before, behind = middle - boxes[:, None, :, :2], boxes[:, None, :, 2:] - middle
    positive &= torch.cat([before, behind], dim=-1).min(dim=-1)[0] > 0.01
    real = _real_boxes(boxes, counts)
    if real is not None:
        positive &= real[:, None]
    kept = torch.full_like(overlaps, FAR)
    kept.scatter_(1, index, torch.where(positive, chosen, FAR))
    best, nearest = kept.max(dim=2)
    return torch.where(best != FAR, nearest + 1, 0)
