"""The registered Auto Seg-Loss."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor

from mmdet_alrp.segmentation.edges import check_tolerance

from .base import SegmentationLoss
from .published import PUBLISHED
from .surrogate_files import parameters_from_dict, read_all_parameters
from .surrogate_parameters import SurrogateParameters, diagonal, metric_weights
from .surrogates import SURROGATES, SoftPrediction

_Theta = Sequence[float] | str | os.PathLike[str] | Mapping[str, Any] | SurrogateParameters | None


@MODELS.register_module()
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
        theta: Parameters of the curves: a list as searched; the path of a json file that a search
            wrote, for one metric or several; the name of a published one, such as 'voc_miou';
            'diagonal', the metric made soft without a search; a dict with the contents of a file
            for one metric; or a dict of any of these by metric. None, and a metric the dict leaves
            out, take those published for VOC; a file must hold those of all metrics.
        parameterization: 'bezier' or 'linear'; None is what ``theta`` says, or 'bezier'.
        segments: Segments of a curve; None is what ``theta`` says, for a list 2 Bezier or 5 linear
            ones.
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

    Raises:
        ValueError: If an argument is not as said here, in one line.
        FileNotFoundError: If ``theta`` names a file that does not exist.

    Reference:
        Li et al., ICLR 2021, arXiv:2010.07930.
    """

    def __init__(
        self,
        target_metric: str | Mapping[str, float] = 'mIoU',
        theta: _Theta = None,
        parameterization: str | None = None,
        segments: int | None = None,
        tolerance: int = 5,
        drop_background: bool = False,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_auto_seg',
        ignore_index: int = 255,
        count_ignored_edges: bool = True,
    ) -> None:
        super().__init__(loss_weight, loss_name, ignore_index)
        check_tolerance(tolerance)
        self.metric_weights = metric_weights(target_metric)
        thetas = _theta_by_metric(theta, list(self.metric_weights))
        self.parameters_of = {
            metric: _parameters(metric, thetas.get(metric), parameterization, segments)
            for metric in self.metric_weights
        }
        self.tolerance = tolerance
        self.drop_background = drop_background
        self.count_ignored_edges = count_ignored_edges
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
        """Return the weighted sum of one minus each metric; arguments as in the base class."""
        soft = SoftPrediction(
            self._probabilities(pred, weight),
            target,
            weight,
            self.tolerance,
            self.drop_background,
            self.count_ignored_edges,
        )
        losses = [
            factor * (1 - SURROGATES[metric].score(soft, self.parameters_of[metric].curves))
            for metric, factor in self.metric_weights.items()
        ]
        return torch.stack(losses).sum().to(pred.dtype)

    def _probabilities(self, logits: Tensor, weight: Tensor) -> Tensor:
        """Softmax over the classes, (N, C, ...)."""
        if not any(SURROGATES[metric].reads_ignored for metric in self.metric_weights):
            # So that ignored pixels get no gradient whatever they hold.
            logits = logits.masked_fill(weight.unsqueeze(1) == 0, 0)
        if logits.shape[1] == 1:
            logits = torch.cat([torch.zeros_like(logits), logits], 1)
        return logits.softmax(1)

    def extra_repr(self) -> str:
        """Name the metrics and their weights where the model is printed."""
        return f'target_metric={self.metric_weights}, tolerance={self.tolerance}'


def _theta_by_metric(theta: _Theta, metrics: list[str]) -> Mapping[str, Any]:
    """Say which parameters are for which metric, whichever of its forms ``theta`` has."""
    if theta is None:
        return {}
    if isinstance(theta, Mapping) and any(key in SURROGATES for key in theta):
        unused = [key for key in theta if key not in metrics]
        if unused:
            raise ValueError(
                f'theta is given for {unused[0]!r}, which is not in target_metric: '
                f'{", ".join(metrics)}'
            )
        return theta
    if len(metrics) > 1 and _is_file(theta):
        found = read_all_parameters(theta)
        for metric in metrics:
            _check_holds(theta, found, metric)
        return found
    if len(metrics) > 1 and not (isinstance(theta, str) and theta == 'diagonal'):
        raise ValueError(
            f'theta of several metrics must be a dict with some of {", ".join(metrics)}, a json '
            f'file with all of them or diagonal, got {theta!r}'
        )
    return dict.fromkeys(metrics, theta)


def _parameters(
    metric: str, theta: _Theta, parameterization: str | None, segments: int | None
) -> SurrogateParameters:
    if isinstance(theta, Sequence) and not isinstance(theta, str):
        return SurrogateParameters(metric, theta, None, parameterization or 'bezier', segments)
    found = _look_up(metric, theta)
    wanted = {'parameterization': parameterization, 'segments': segments}
    for key, value in wanted.items():
        if value not in (None, getattr(found, key)):
            raise ValueError(
                f'{key}={value!r}, but theta of {metric} has {key}={getattr(found, key)!r}: give '
                'one of them, or theta as a list'
            )
    if found.num_curves != SURROGATES[metric].num_curves:
        raise ValueError(
            f'theta is for {found.metric}, of {found.num_curves} curves; {metric} takes '
            f'{SURROGATES[metric].num_curves}'
        )
    if found.metric != metric:
        warnings.warn(
            f'AutoSegLoss targets {metric} with parameters searched for {found.metric}',
            stacklevel=4,
        )
    return found


def _look_up(metric: str, theta: _Theta) -> SurrogateParameters:
    """Find parameters that are given by default, name, file, dict or as they are."""
    name = f'voc_{metric.lower()}' if theta is None else theta
    if isinstance(name, SurrogateParameters):
        return name
    if isinstance(name, Mapping):
        return parameters_from_dict({'metric': metric, **name})
    if _is_file(name):
        found = read_all_parameters(name)
        if len(found) == 1:
            # Maybe of another metric with as many curves.
            return next(iter(found.values()))
        _check_holds(name, found, metric)
        return found[metric]
    if isinstance(name, str) and name == 'diagonal':
        return diagonal(metric)
    if not isinstance(name, str) or name not in PUBLISHED:
        raise ValueError(
            'theta must be a list of numbers, a path ending in .json, a dict, or one of '
            f'{", ".join(PUBLISHED)}, diagonal; got {_shown(name)}'
        )
    return PUBLISHED[name]


def _is_file(theta: object) -> bool:
    return isinstance(theta, os.PathLike) or (isinstance(theta, str) and theta.endswith('.json'))


def _check_holds(
    path: str | os.PathLike[str], found: Mapping[str, SurrogateParameters], metric: str
) -> None:
    if metric not in found:
        raise ValueError(
            f'{path} holds parameters of {" and ".join(found)}, not of {metric}: search for '
            f'{metric} too, or give theta as a dict by metric'
        )


def _shown(value: object) -> str:
    """What a user gave, in one line; of an array its type says what is wrong."""
    return repr(value) if isinstance(value, str) else type(value).__name__
