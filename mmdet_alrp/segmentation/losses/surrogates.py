"""Metrics of semantic segmentation with soft predictions and curves for logical operations.

AND(a, b) becomes ``g(a) g(b)`` and OR(a, b) ``h(a) + h(b) - h(a) h(b)``. Targets are 0 or 1, where
a curve under the truth-table constraint does nothing; without it ``g(0)`` and ``g(1)`` take part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from mmdet_alrp.segmentation.edges import dilate, label_edges, soft_dilate, soft_min_pool

from .surrogate_curves import Curve, in_blocks


@dataclass(frozen=True)
class SoftPrediction:
    """Probabilities of a batch with its targets.

    Args:
        probs: Softmax probabilities, float, shape (N, C, ...).
        targets: Class indices in [0, C), int64, shape (N, ...).
        weights: How often a pixel counts, float, shape (N, ...); 0 takes it out.
        tolerance: Pixels around a target edge that belong to it, for the boundary metrics.
        drop_background: Let class 0 have no target edges.
        count_ignored_edges: Whether BF1 takes predicted edges on ignored pixels for wrong where no
            target edge is near.
        class_weights: How much each class counts in a mean, float, shape (C,); None is 1 for all.
    """

    probs: Tensor
    targets: Tensor
    weights: Tensor
    tolerance: int = 5
    drop_background: bool = False
    count_ignored_edges: bool = True
    class_weights: Tensor | None = None

    @cached_property
    def target_probs(self) -> Tensor:
        """Probability of each pixel's own class, shape (N, ...)."""
        return self.of_target(self.probs)

    @cached_property
    def valid(self) -> Tensor:
        """Pixels that take part, bool, shape (N, ...)."""
        return self.weights > 0

    @cached_property
    def edges(self) -> Tensor:
        """Target edge pixels of any class, bool, shape (N, H, W)."""
        edges = label_edges(self.targets, self.valid)
        return edges & (self.targets > 0) if self.drop_background else edges

    @cached_property
    def counts(self) -> Tensor:
        """Weighted target pixels of each class, float64, shape (C,)."""
        return self.sum_by_target(torch.ones_like(self.weights))

    @cached_property
    def class_shares(self) -> Tensor:
        """How much each class counts, float64, shape (C,)."""
        shares = torch.ones_like(self.counts)
        return shares if self.class_weights is None else shares * self.class_weights

    def class_mean(self, scores: Tensor, counts: Tensor | None = None) -> Tensor:
        """Mean of (C,) over the classes, each counted (C,) times; 1 if none counts."""
        shares = self.class_shares if counts is None else self.class_shares * counts
        return _or_one(_ratio((scores * shares).sum(), shares.sum()), shares.sum())

    def of_target(self, values: Tensor) -> Tensor:
        """Pick from (N, C, ...) the values of each pixel's own class, (N, ...)."""
        return values.gather(1, self.targets.unsqueeze(1)).squeeze(1)

    def sum_by_target(self, values: Tensor) -> Tensor:
        """Weighted sum of (N, ...) over the pixels of each class, float64, shape (C,)."""
        # A class may hold so many pixels that adding one to their float32 sum would be lost.
        weighted = (values * self.weights).double().flatten()
        sums = weighted.new_zeros(self.probs.shape[1])
        return sums.scatter_add(0, self.targets.flatten(), weighted)

    def sum_by_class(self, values: Tensor) -> Tensor:
        """Weighted sum of (N, C, ...) over all pixels, class by class, float64, shape (C,)."""
        images, classes = values.shape[:2]
        weights = self.weights.to(values.dtype).reshape(images, -1, 1)
        return (values.reshape(images, classes, -1) @ weights).double().sum((0, 2))


def global_accuracy(soft: SoftPrediction, curves: Sequence[Curve]) -> Tensor:
    """Share of pixels that are given their class.

    Like all of these, it takes the batch and its curves and returns a score in [0, 1], float64, a
    scalar; 1 where no pixel or class is left to measure.

    Args:
        soft: The batch.
        curves: As many as ``SURROGATES`` says, in the order of the logical operations.

    Reference:
        Li et al., ICLR 2021, arXiv:2010.07930, Eq. 1.
    """
    hits = (_and_sums(soft, curves[0]) * soft.class_shares).sum()
    whole = (soft.counts * soft.class_shares).sum()
    return _or_one(_ratio(hits, whole), whole)


def mean_accuracy(soft: SoftPrediction, curves: Sequence[Curve]) -> Tensor:
    """Mean over all classes of the share of a class's pixels that are given it (Eq. 2)."""
    hits = _and_sums(soft, curves[0])
    return _or_one(soft.class_mean(_ratio(hits, soft.counts)), soft.counts.sum())


def mean_iou(soft: SoftPrediction, curves: Sequence[Curve]) -> Tensor:
    """Mean intersection over union over all classes (Eq. 3); curves of the AND and of the OR."""
    return _or_one(soft.class_mean(_class_ious(soft, curves)), soft.counts.sum())


def frequency_weighted_iou(soft: SoftPrediction, curves: Sequence[Curve]) -> Tensor:
    """IoU of the classes, weighted by their target pixels in the batch (Eq. 4)."""
    return soft.class_mean(_class_ious(soft, curves), soft.counts)


def boundary_iou(soft: SoftPrediction, curves: Sequence[Curve]) -> Tensor:
    """Mean IoU over the pixels within the tolerance of a target edge, of any class (Eq. 5)."""
    band = dilate(soft.edges, soft.tolerance)
    return mean_iou(replace(soft, weights=soft.weights * band), curves)


def boundary_f1(soft: SoftPrediction, curves: Sequence[Curve]) -> Tensor:
    """Mean F1 of edge pixels over the classes with target edge pixels (Eq. 6).

    The predicted edge is XOR = OR - AND of the probabilities and their min-pooled selves, no less
    than 0; its four curves are AND's of the probability and of the min-pooled one, then OR's. A
    class's precision is the share of predicted edge inside the dilated target edge, its recall the
    share of target edge inside the dilated predicted one. Predicted edges run inside ignored strips
    too, and so the prediction is taken as it is there, each pixel with a weight of 1: an edge is
    right if near a target edge, and wrong otherwise, as in the released code. Without
    ``count_ignored_edges`` it is not wrong there but takes no part.
    """
    on_edge = replace(soft, weights=soft.weights * soft.edges)
    everywhere = replace(soft, weights=soft.weights.masked_fill(~soft.valid, 1))
    predicted = _soft_edges(soft.probs, curves)
    near = dilate(_one_hot(soft) & soft.edges.unsqueeze(1), soft.tolerance)
    counted = predicted
    if not soft.count_ignored_edges:
        counted = predicted * (near | soft.valid.unsqueeze(1))
    precision = _ratio(everywhere.sum_by_class(predicted * near), everywhere.sum_by_class(counted))
    reached = soft.of_target(soft_dilate(predicted, soft.tolerance))
    recall = _ratio(on_edge.sum_by_target(reached), on_edge.counts)
    f1 = _ratio(2 * precision * recall, precision + recall)
    return soft.class_mean(f1, on_edge.counts > 0)


@dataclass(frozen=True)
class Surrogate:
    """A metric's surrogate.

    Args:
        score: Takes the batch and the curves, gives the score.
        num_curves: How many curves it takes.
        boundary: Whether it sees edges only.
        reads_ignored: Whether it looks at probabilities of ignored pixels too.
    """

    score: Callable[[SoftPrediction, Sequence[Curve]], Tensor]
    num_curves: int
    boundary: bool = False
    reads_ignored: bool = False


SURROGATES = {
    'mIoU': Surrogate(mean_iou, 2),
    'FWIoU': Surrogate(frequency_weighted_iou, 2),
    'BIoU': Surrogate(boundary_iou, 2, boundary=True),
    'BF1': Surrogate(boundary_f1, 4, boundary=True, reads_ignored=True),
    'mAcc': Surrogate(mean_accuracy, 1),
    'gAcc': Surrogate(global_accuracy, 1),
}


def _class_ious(soft: SoftPrediction, curves: Sequence[Curve]) -> Tensor:
    curve_and, curve_or = curves
    return _ratio(_and_sums(soft, curve_and), _or_sums(soft, curve_or))


def _and_sums(soft: SoftPrediction, curve: Curve) -> Tensor:
    """Sum of AND(probability, target) over the pixels, class by class, shape (C,)."""
    on_target = soft.sum_by_target(curve(soft.target_probs))
    if curve.start == 0:
        return curve.end * on_target
    off_target = soft.sum_by_class(curve(soft.probs)) - on_target
    return curve.end * on_target + curve.start * off_target


def _or_sums(soft: SoftPrediction, curve: Curve) -> Tensor:
    """Sum of OR(probability, target) over the pixels, class by class, shape (C,)."""
    on_target = soft.sum_by_target(curve(soft.target_probs))
    off_target = soft.sum_by_class(curve(soft.probs)) - on_target
    others = soft.weights.double().sum() - soft.counts
    # h(a) + h(b) - h(a) h(b), summed where the target is 1 and where it is 0.
    ones = (1 - curve.end) * on_target + curve.end * soft.counts
    return ones + (1 - curve.start) * off_target + curve.start * others


def _soft_edges(probs: Tensor, curves: Sequence[Curve]) -> Tensor:
    """Soft XOR of the probabilities and their min-pooled selves, shape (N, C, H, W)."""
    and_probs, and_inner, or_probs, or_inner = curves

    def exclusive_or(probs: Tensor, inner: Tensor) -> Tensor:
        either_probs, either_inner = or_probs(probs), or_inner(inner)
        either = either_probs + either_inner - either_probs * either_inner
        return (either - and_probs(probs) * and_inner(inner)).clamp(min=0)

    return in_blocks(exclusive_or, probs, soft_min_pool(probs))


def _one_hot(soft: SoftPrediction) -> Tensor:
    """Target masks of all classes, bool, shape (N, C, H, W)."""
    classes = torch.arange(soft.probs.shape[1], device=soft.targets.device)
    return soft.targets.unsqueeze(1) == classes.view(-1, 1, 1)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Divide; nothing of nothing is 0, with finite gradients."""
    return part / torch.where(whole == 0, 1, whole)


def _or_one(score: Tensor, measured: Tensor) -> Tensor:
    """Keep the score where something was measured; else 1, without gradient."""
    return torch.where(measured > 0, score, torch.ones_like(score))
