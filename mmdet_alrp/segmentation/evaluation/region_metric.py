"""The registered form of the region metrics."""

from __future__ import annotations

from mmengine.registry import METRICS
from torch import Tensor

from .label_map_metric import LabelMapMetric
from .region import (
    REGION_METRICS,
    class_accuracies,
    class_counts,
    class_ious,
    confusion_matrix,
    region_metrics,
)


@METRICS.register_module(force=True)
class RegionMetric(LabelMapMetric):
    """mIoU, FWIoU, mAcc and gAcc over a data set, as unrounded fractions.

    Figures of the classes are called ``IoU_{class}`` and ``Acc_{class}``. Arguments and errors are
    those of :class:`~mmdet_alrp.segmentation.evaluation.label_map_metric.LabelMapMetric`.

    Reference:
        :func:`mmdet_alrp.segmentation.evaluation.region_metrics` for the definitions.
    """

    known_metrics = REGION_METRICS

    def count(self, pred: Tensor, target: Tensor, num_classes: int) -> Tensor:
        """Return :func:`class_counts` of an image, shape (3, c)."""
        return class_counts(confusion_matrix(pred, target, num_classes, self.ignore_index))

    def figures(self, counts: Tensor) -> dict[str, float]:
        """Return :func:`region_metrics` of the summed counts."""
        return region_metrics(counts)

    def class_figures(self, counts: Tensor) -> dict[str, Tensor]:
        """Return IoU and accuracy of the classes."""
        return {'IoU': class_ious(counts), 'Acc': class_accuracies(counts)}
