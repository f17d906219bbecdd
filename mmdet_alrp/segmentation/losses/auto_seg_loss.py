"""The registered Auto Seg-Loss."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor

from mmdet_alrp.segmentation.edges import check_tolerance

from .base import SegmentationLoss
from .surrogate_lookup import ControlPoints, Theta, parameters_by_metric
from .surrogate_parameters import metric_weights
from .surrogates import SURROGATES, SoftPrediction


@MODELS.register_module(force=True)
class AutoSegLoss(SegmentationLoss):
    """One minus a metric made soft: curves with searched parameters stand for logical operations.

    Convention:
        ``pred`` holds logits; one channel is the foreground of two classes. Sums run over the whole
        batch, means over all classes, for BF1 over those with target edge pixels. A weight counts
        its pixel that many times. Ignored pixels, and those of weight 0, take no part, but a class
        ends where it meets them, and BF1 judges predicted edges inside them, each pixel with a
        weight of 1. A metric with nothing to measure in the batch (no edge, say) adds 0.

        The means of mIoU, mAcc and BIoU run over all classes, present or not: one that is absent
        from the batch scores 0. So the loss of a perfect prediction is 1 - 2/21 = .905 where 2 of
        21 classes are there. That part is constant and has no gradient.

    BIoU or BF1 alone ruins the regions; target it together with a metric of regions, as in
    ``dict(mIoU=1, BIoU=1)``.

    Args:
        target_metric: mIoU, FWIoU, BIoU, BF1, mAcc or gAcc, or a dict of them with their weights in
            a sum.
        theta: Parameters of the curves: the path of a json file that a search wrote, for one
            metric or several; the name of a published one, such as 'voc_miou'; 'diagonal', the
            metric made soft without a search; a dict with the contents of a file for one metric; a
            list of the numbers that a search here finds, the share of what remains to 1 that each
            point goes (see :class:`SurrogateParameters`); or a dict of any of these by metric.
            None, and a metric the dict leaves out, take those published for VOC; a file must hold
            those of all metrics. A list that may as well be control points, which released configs
            call theta, is refused.
        parameterization: 'bezier' or 'linear'; None is what ``theta`` says, or 'bezier'.
        segments: Segments of a curve; None is what ``theta`` or the number of ``control_points``
            says, for a list ``theta`` 2 Bezier or 5 linear ones.
        tolerance: Pixels around a target edge that BIoU looks at, and that BF1 allows between two
            edges.
        drop_background: Let class 0 have no target edges, as was published for VOC: BIoU looks near
            the edges of the other classes, still at all classes, and BF1 averages over the others.
        count_ignored_edges: Take edges that are predicted on ignored pixels, farther than
            ``tolerance`` from a target edge, for wrong in BF1, as in the released code; False
            leaves them out. Goes with the same option of ``BoundaryMetric``.
        loss_weight: Factor on the loss.
        loss_name: Key in the log; it must start with ``loss_`` for MMSegmentation to train with it.
        ignore_index: Label of pixels to leave out, for calls that name none.
        control_points: x, y of the inner control points, function after function, in place of
            ``theta``: the list that a released config calls theta; of several metrics a dict by
            metric.
        **kwargs: ``class_weight`` (of each class in the means over classes; of gAcc and FWIoU, a
            factor on its pixels) and ``output_weight`` as :class:`SegmentationLoss`.

    Raises:
        ValueError: If an argument is not as said here, in one line.
        FileNotFoundError: If ``theta`` names a file that does not exist.

    Reference:
        Li et al., ICLR 2021, arXiv:2010.07930.
    """

    weighs_pixels = False

    def __init__(
        self,
        target_metric: str | Mapping[str, float] = 'mIoU',
        theta: Theta = None,
        parameterization: str | None = None,
        segments: int | None = None,
        tolerance: int = 5,
        drop_background: bool = False,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_auto_seg',
        ignore_index: int | None = 255,
        control_points: ControlPoints = None,
        count_ignored_edges: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(loss_weight, loss_name, ignore_index, **kwargs)
        check_tolerance(tolerance)
        self.metric_weights = metric_weights(target_metric)
        self.parameters_of = parameters_by_metric(
            list(self.metric_weights), theta, control_points, parameterization, segments
        )
        self.tolerance = tolerance
        self.drop_background = drop_background
        self.count_ignored_edges = count_ignored_edges
        reads_ignored = [SURROGATES[metric].reads_ignored for metric in self.metric_weights]
        self.fills_ignored = not any(reads_ignored)
        boundary = [SURROGATES[metric].boundary for metric in self.metric_weights]
        self.spatial_dims = 2 if any(boundary) else None
        if all(boundary):
            warnings.warn(
                f'AutoSegLoss: {" and ".join(self.metric_weights)} alone ruins the regions (VOC '
                'mIoU 49 with BIoU, 1.9 with BF1, 81 with mIoU): target it beside a metric of '
                'regions, as in target_metric=dict(mIoU=1, BIoU=1)',
                stacklevel=2,
            )

    def compute(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the weighted sum of one minus each metric.

        Args:
            pred: Logits, shape (N, C, ...).
            target: Class indices, shape (N, ...).
            weight: Weight of each pixel, 0 for an ignored one, shape (N, ...).
        """
        weights = self.class_weight
        if weights is not None:
            weights = self.checked_class_weight(pred, max(pred.shape[1], 2))
        return self._weighted_sum(pred, target, weight, weights)

    def compute_channel(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the loss of one channel of several, whose classes have no weights of their own."""
        return self._weighted_sum(pred, target, weight, None)

    def _weighted_sum(
        self, logits: Tensor, target: Tensor, weight: Tensor, class_weights: Tensor | None
    ) -> Tensor:
        if logits.shape[1] == 1:
            logits = torch.cat([torch.zeros_like(logits), logits], 1)
        soft = SoftPrediction(
            logits.softmax(1),
            target,
            weight,
            self.tolerance,
            self.drop_background,
            self.count_ignored_edges,
            class_weights,
        )
        losses = [
            factor * (1 - SURROGATES[metric].score(soft, self.parameters_of[metric].curves))
            for metric, factor in self.metric_weights.items()
        ]
        return torch.stack(losses).sum().to(logits.dtype)

    def extra_repr(self) -> str:
        """Name the metrics and their weights where the model is printed."""
        return f'target_metric={self.metric_weights}, tolerance={self.tolerance}'
