"""mIoU, FWIoU, mAcc and gAcc over a data set, from one confusion matrix.

Count with :func:`confusion_matrix`, add up over images, then :func:`segmentation_metrics`. All is
integer until the last step, so the figures do not depend on how the images were split.
"""

from __future__ import annotations

import torch
from torch import Tensor

REGION_METRICS = ('mIoU', 'FWIoU', 'mAcc', 'gAcc')


def check_labels(
    pred: Tensor, target: Tensor, num_classes: int, ignore_index: int | None = 255
) -> tuple[Tensor, Tensor, Tensor]:
    """Check two label maps and return them as integers, with the pixels that count.

    Args:
        pred: Predicted class indices, any shape; whole numbers of any dtype.
        target: True class indices of the same shape, or ``ignore_index``.
        num_classes: Class indices are below this.
        ignore_index: Target of pixels that do not count; None counts all.

    Returns:
        ``pred`` and ``target`` as int64 and ``valid`` as bool, all of the same shape; ignored
        pixels are 0 in ``pred`` and ``target``.

    Raises:
        ValueError: If the shapes differ or an index that counts is out of range.
    """
    if num_classes < 1:
        raise ValueError(f'num_classes must be at least 1, got {num_classes}')
    if pred.shape != target.shape:
        raise ValueError(
            'prediction and target must have the same size: '
            f'got {tuple(pred.shape)} and {tuple(target.shape)}'
        )
    valid = torch.ones_like(target, dtype=torch.bool)
    if ignore_index is not None:
        valid = target != ignore_index
    pred = _as_indices('the prediction', pred, valid, num_classes)
    advice = '' if ignore_index is None else f', or {ignore_index} for pixels that do not count'
    target = _as_indices('the target', target, valid, num_classes, advice)
    return pred, target, valid


def _as_indices(
    name: str, labels: Tensor, valid: Tensor, num_classes: int, advice: str = ''
) -> Tensor:
    indices = labels.long()
    wrong = valid & ((indices < 0) | (indices >= num_classes) | (indices != labels))
    if wrong.any():
        found = ', '.join(f'{value:g}' for value in labels[wrong].unique()[:5].tolist())
        raise ValueError(
            f'{name} has the labels {found}; with {num_classes} classes they must be whole '
            f'numbers in 0 ... {num_classes - 1}{advice}'
        )
    return indices.masked_fill(~valid, 0)


def confusion_matrix(
    pred: Tensor, target: Tensor, num_classes: int, ignore_index: int | None = 255
) -> Tensor:
    """Count the pixels of every pair of true and predicted class.

    Args:
        pred: Predicted class indices, any shape; whole numbers of any dtype.
        target: True class indices of the same shape, or ``ignore_index``.
        num_classes: Number of classes.
        ignore_index: Target of pixels that do not count; None counts all.

    Returns:
        Counts, int64, shape (num_classes, num_classes): rows are true classes, columns predicted.

    Raises:
        ValueError: If the shapes differ or an index that counts is out of range.
    """
    pred, target, valid = check_labels(pred, target, num_classes, ignore_index)
    return count_pairs(pred, target, valid, num_classes)


def count_pairs(pred: Tensor, target: Tensor, valid: Tensor, num_classes: int) -> Tensor:
    """:func:`confusion_matrix` of checked indices over the pixels that are ``valid``.

    Args:
        pred: Predicted class indices, int64.
        target: True class indices, int64, same shape.
        valid: Which pixels count, bool, same shape.
        num_classes: Number of classes.
    """
    pairs = num_classes**2
    index = torch.where(valid, target * num_classes + pred, pairs)
    counts = torch.bincount(index.flatten(), minlength=pairs + 1)
    return counts[:pairs].view(num_classes, num_classes)


def class_counts(confusion: Tensor) -> Tensor:
    """Reduce a confusion matrix to what the region metrics need.

    Args:
        confusion: Counts, rows true and columns predicted classes, shape (c, c).

    Returns:
        Rows: pixels of a class that are rightly predicted, predicted, true; shape (3, c).

    Raises:
        ValueError: If ``confusion`` is not square.
    """
    if confusion.ndim != 2 or confusion.shape[0] != confusion.shape[1]:
        raise ValueError(
            f'a confusion matrix must have the shape (c, c), got {tuple(confusion.shape)}'
        )
    return torch.stack([confusion.diagonal(), confusion.sum(0), confusion.sum(1)])


def class_ious(counts: Tensor) -> Tensor:
    """Intersection over union of the classes.

    Args:
        counts: Of :func:`class_counts`, summed over images, shape (3, c).

    Returns:
        float64, shape (c,); NaN for a class that neither target nor prediction has.
    """
    hits, predicted, true = counts.double()
    return hits / (predicted + true - hits)


def class_accuracies(counts: Tensor) -> Tensor:
    """Share of a class's true pixels that are rightly predicted.

    Args:
        counts: Of :func:`class_counts`, summed over images, shape (3, c).

    Returns:
        float64, shape (c,); NaN for a class without true pixels.
    """
    hits, _, true = counts.double()
    return hits / true


def region_metrics(counts: Tensor) -> dict[str, float]:
    """Compute the region metrics of a data set from the counts of its classes.

    Args:
        counts: Of :func:`class_counts`, summed over images, shape (3, c).

    Returns:
        Fractions in [0, 1], unrounded: ``mIoU``, the mean IoU of the classes that target or
        prediction have; ``FWIoU``, the IoUs weighted by the classes' shares of the true pixels;
        ``mAcc``, the mean accuracy of the classes with true pixels; ``gAcc``, the share of all
        pixels that is right. NaN where no pixel counts.
    """
    hits, _, true = counts.double()
    ious = class_ious(counts)
    figures = (
        ious.nanmean(),
        (ious.nan_to_num() * true).sum() / true.sum(),
        class_accuracies(counts).nanmean(),
        hits.sum() / true.sum(),
    )
    return dict(zip(REGION_METRICS, torch.stack(figures).tolist(), strict=True))


def segmentation_metrics(confusion: Tensor) -> dict[str, float]:
    """Compute mIoU, FWIoU, mAcc and gAcc from a confusion matrix.

    Convention:
        A class that neither target nor prediction has takes no part in mIoU, one without true
        pixels none in mAcc. FWIoU weighs by true pixels.

    Args:
        confusion: Counts, rows true and columns predicted classes, shape (c, c); the sum of
            :func:`confusion_matrix` over the images of a data set.

    Returns:
        Fractions in [0, 1], unrounded, by name: ``mIoU``, ``FWIoU``, ``mAcc`` and ``gAcc``. NaN
        where no pixel counts.

    Raises:
        ValueError: If ``confusion`` is not square.
    """
    return region_metrics(class_counts(confusion))
