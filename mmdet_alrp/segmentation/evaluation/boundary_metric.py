"""The registered form of the boundary metrics."""

from __future__ import annotations

from typing import Any

from mmengine.registry import METRICS
from torch import Tensor

from mmdet_alrp.segmentation.edges import check_tolerance

from .boundary import (
    BOUNDARY_METRICS,
    boundary_counts,
    boundary_metrics,
    class_boundary_f1,
    class_boundary_ious,
)
from .label_map_metric import LabelMapMetric


@METRICS.register_module(force=True)
class BoundaryMetric(LabelMapMetric):
    """BIoU and BF1 over a data set, as unrounded fractions.

    Figures of the classes are called ``BIoU_{class}`` and ``BF1_{class}``. The other arguments and
    the errors are those of
    :class:`~mmdet_alrp.segmentation.evaluation.label_map_metric.LabelMapMetric`.

    Args:
        tolerance: How far from an edge is near, in pixels.
        drop_background: Let class 0 have no target edges. Figures published for VOC are of that
            kind, those for Cityscapes, whose class 0 is no background, are not.
        count_ignored_edges: Take edges that are predicted on ignored pixels, farther than
            ``tolerance`` from a target edge, for wrong in BF1, as in the released code; False
            leaves them out.
        **kwargs: Of ``LabelMapMetric``.

    Raises:
        ValueError: If ``tolerance`` is no whole number of pixels.

    Reference:
        :func:`mmdet_alrp.segmentation.evaluation.boundary_counts` for the definitions.
    """

    known_metrics = BOUNDARY_METRICS

    def __init__(
        self,
        tolerance: int = 5,
        drop_background: bool = False,
        count_ignored_edges: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_tolerance(tolerance)
        self.tolerance = tolerance
        self.drop_background = drop_background
        self.count_ignored_edges = count_ignored_edges

    def count(self, pred: Tensor, target: Tensor, num_classes: int) -> Tensor:
        """Return :func:`boundary_counts` of an image, shape (7, c)."""
        return boundary_counts(
            pred,
            target,
            num_classes,
            self.tolerance,
            self.ignore_index,
            self.drop_background,
            self.count_ignored_edges,
        )

    def figures(self, counts: Tensor) -> dict[str, float]:
        """Return :func:`boundary_metrics` of the summed counts."""
        return boundary_metrics(counts)

    def class_figures(self, counts: Tensor) -> dict[str, Tensor]:
        """Return IoU and F1 of the classes at their boundaries."""
        return {'BIoU': class_boundary_ious(counts), 'BF1': class_boundary_f1(counts)}
