"""BIoU and BF1 over a data set: how well the outlines of the classes are met.

Count with :func:`boundary_counts`, add up over images, then :func:`boundary_metrics`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mmdet_alrp.segmentation.edges import check_tolerance, dilate, label_edges

from .region import check_labels, class_counts, class_ious, count_pairs

BOUNDARY_METRICS = ('BIoU', 'BF1')
BITS = 62  # classes in an int64, clear of its sign


def boundary_counts(
    pred: Tensor,
    target: Tensor,
    num_classes: int,
    tolerance: int = 5,
    ignore_index: int | None = 255,
    drop_background: bool = False,
    count_ignored_edges: bool = True,
) -> Tensor:
    """Count what BIoU and BF1 need.

    Convention:
        An edge pixel of a class is a pixel of the class with a pixel of none or of another class
        among its eight neighbours; the outside of the image is no neighbour. Near means at most
        ``tolerance`` pixels away in each direction. BIoU counts the pixels near an edge of any
        class in the target; ignored pixels take no part.

        In the target an ignored pixel has no class, so a class ends where ignored pixels begin:
        the masks of VOC part all objects by ignored strips and have no other edges. The prediction
        is taken as it is, since its outlines run inside those strips. There a predicted edge pixel
        is right if it is near a target edge, and wrong otherwise, as in the released code.

    Args:
        pred: Predicted class indices, shape (h, w) or (n, h, w); whole numbers of any dtype.
        target: True class indices of the same shape, or ``ignore_index``.
        num_classes: Number of classes.
        tolerance: How far from an edge is near, in pixels.
        ignore_index: Target of pixels that do not count; None counts all.
        drop_background: Let class 0 have no target edges, as was published for VOC: BIoU looks near
            the edges of the other classes, still at all classes, and BF1 averages over the others.
        count_ignored_edges: Whether predicted edge pixels that are ignored count where no target
            edge is near; False leaves them out.

    Returns:
        int64, shape (7, num_classes), summed over the images. Rows: the three of
        :func:`class_counts` near target edges; predicted edge pixels near a target edge of their
        class, predicted edge pixels that count; target edge pixels near a predicted edge of their
        class, all target edge pixels.

    Raises:
        ValueError: If the shapes differ or are those of no image, an index that counts is out of
            range or ``tolerance`` is no whole number of pixels.
    """
    check_tolerance(tolerance)
    if pred.ndim not in (2, 3):
        raise ValueError(f'label maps must be (h, w) or (n, h, w), got {tuple(pred.shape)}')
    inside, target, valid = check_labels(pred, target, num_classes, ignore_index)
    height, width = pred.shape[-2:]
    pred, inside, target, valid = (
        labels.reshape(-1, height, width) for labels in (pred, inside, target, valid)
    )
    known = (pred >= 0) & (pred < num_classes)
    pred = torch.where(known, pred.long(), num_classes)  # what is no class where ignored
    target_edges = label_edges(target, valid)
    if drop_background:
        target_edges &= target > 0
    pred_edges = label_edges(pred) & known
    pred = pred.where(known, 0)

    region = dilate(target_edges, tolerance) & valid
    confusion = count_pairs(inside, target, region, num_classes)
    right = pred_edges & _near_own_class(pred, target, target_edges, num_classes, tolerance)
    found = target_edges & _near_own_class(target, pred, pred_edges, num_classes, tolerance)
    counted = pred_edges if count_ignored_edges else right | (pred_edges & valid)
    rows = [
        torch.bincount(labels[chosen], minlength=num_classes)
        for labels, chosen in (
            (pred, right),
            (pred, counted),
            (target, found),
            (target, target_edges),
        )
    ]
    return torch.cat([class_counts(confusion), torch.stack(rows)])


def _near_own_class(
    labels: Tensor, others: Tensor, edges: Tensor, num_classes: int, tolerance: int
) -> Tensor:
    """Which pixels have an edge pixel of their own class, in ``others``, within the tolerance.

    A class is a bit of an int64, so that one map is dilated for 62 classes instead of 62 masks.
    """
    num, height, width = labels.shape
    words = labels.new_zeros(num, -(-num_classes // BITS), height, width)
    bits = edges.long() << others % BITS
    words.scatter_(1, (others // BITS)[:, None], bits[:, None])
    for axis in (-1, -2):
        size, grown = words.shape[axis], words.clone()
        for shift in range(1, min(tolerance, size - 1) + 1):
            ahead = (axis, shift, size - shift)
            behind = (axis, 0, size - shift)
            grown.narrow(*ahead).bitwise_or_(words.narrow(*behind))
            grown.narrow(*behind).bitwise_or_(words.narrow(*ahead))
        words = grown
    own = words.gather(1, (labels // BITS)[:, None])[:, 0]
    return (own >> labels % BITS & 1).bool()


def class_boundary_f1(counts: Tensor) -> Tensor:
    """F1 of the edges of the classes.

    Args:
        counts: Of :func:`boundary_counts`, summed over images, shape (7, c).

    Returns:
        float64, shape (c,): ``2 p r / (p + r)`` of precision p, the share of predicted edge pixels
        that are near a target edge, and recall r, the reverse. 0 for a class of which no edge is
        predicted, NaN for one without target edges.
    """
    pred_hits, pred_edges, target_hits, target_edges = counts[3:].double()
    precision = pred_hits / pred_edges.clamp(min=1)
    recall = target_hits / target_edges  # NaN without target edges, on purpose
    total = precision + recall
    return torch.where(total == 0, 0.0, 2 * precision * recall / total)


def class_boundary_ious(counts: Tensor) -> Tensor:
    """IoU of the classes near target edges.

    Args:
        counts: Of :func:`boundary_counts`, summed over images, shape (7, c).

    Returns:
        float64, shape (c,); NaN for a class that neither target nor prediction has there.
    """
    return class_ious(counts[:3])


def boundary_metrics(counts: Tensor) -> dict[str, float]:
    """Compute BIoU and BF1 of a data set from the counts of its classes.

    Args:
        counts: Of :func:`boundary_counts`, summed over images, shape (7, c).

    Returns:
        Fractions in [0, 1], unrounded: ``BIoU``, the mean IoU near target edges of the classes
        that target or prediction have there; ``BF1``, the mean F1 of the classes with target
        edges. NaN where no target has an edge.

    Reference:
        Li et al., Auto Seg-Loss, ICLR 2021, arXiv:2010.07930, Table 1.
    """
    figures = (class_boundary_ious(counts).nanmean(), class_boundary_f1(counts).nanmean())
    return dict(zip(BOUNDARY_METRICS, torch.stack(figures).tolist(), strict=True))
