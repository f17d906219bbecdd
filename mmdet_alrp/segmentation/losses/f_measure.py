"""F-measure loss of salient-object detection."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.registry import MODELS
from torch import Tensor

from .base import SegmentationLoss, mean_over
from .foreground import check_foreground, foreground_logits


def f_measure_loss(
    probs: Tensor,
    masks: Tensor,
    weight: Tensor | None = None,
    beta2: float = 0.3,
    log_like: bool = False,
) -> Tensor:
    """Relaxed F-measure turned into a loss, mean over images.

    Convention:
        An image whose mask has no foreground has no F-measure and is left out of the mean; if that
        leaves none the loss is 0. ``1 - F`` lies in [0, 1].

    Args:
        probs: Probabilities of the foreground in [0, 1], floating point, shape (N, pixels).
        masks: Foreground in [0, 1], same dtype and shape.
        weight: Weight of each pixel, >= 0 with 0 for an ignored one, same dtype and shape.
        beta2: Weight of recall against precision, beta squared.
        log_like: Return ``-log F`` in place of ``1 - F``. It is bounded by the logarithm of the
            smallest number of the dtype, beyond which there is no gradient.

    Returns:
        The loss, a scalar.

    Reference:
        Zhao et al., ICCV 2019, arXiv:1805.07567, Eq. 4-6; gradient Eq. 7.
    """
    if weight is None:
        weight = torch.ones_like(masks)
    true_pos = (weight * probs * masks).sum(1)
    foreground = (weight * masks).sum(1)
    counted = foreground > 0
    smallest = torch.finfo(probs.dtype).tiny
    total = (beta2 * foreground + (weight * probs).sum(1)).clamp(min=smallest)
    f_measure = (1 + beta2) * true_pos / total
    losses = -f_measure.clamp(min=smallest).log() if log_like else 1 - f_measure
    return mean_over(losses, counted)


@MODELS.register_module(name=['FMeasureLoss', 'FLoss'], force=True)
class FMeasureLoss(SegmentationLoss):
    """Registered form of :func:`f_measure_loss` for one channel, or background and foreground.

    Args:
        beta2: Weight of recall against precision, beta squared.
        log_like: Return ``-log F`` in place of ``1 - F``.
        from_logits: Whether predictions are logits; False for probabilities.
        per_image: Mean of one F-measure an image; False for one of the whole batch.
        loss_weight: As :class:`SegmentationLoss`.
        loss_name: As :class:`SegmentationLoss`.
        **kwargs: ``ignore_index``, ``class_weight`` and ``output_weight`` as
            :class:`SegmentationLoss`.

    Raises:
        ValueError: If ``beta2`` is not a positive number.
    """

    soft_targets = True

    def __init__(
        self,
        beta2: float = 0.3,
        log_like: bool = False,
        from_logits: bool = True,
        per_image: bool = True,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_f_measure',
        **kwargs: Any,
    ) -> None:
        super().__init__(loss_weight, loss_name, **kwargs)
        if not 0 < beta2 < float('inf'):
            raise ValueError(f'beta2 must be a positive number, got {beta2}')
        self.beta2 = beta2
        self.log_like = log_like
        self.from_logits = from_logits
        self.per_image = per_image

    def compute(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the loss; arguments as the base class."""
        if self.from_logits:
            probs = foreground_logits(pred, type(self).__name__).sigmoid()
        else:
            check_foreground(pred, type(self).__name__)
            probs = pred[:, -1]
        rows = len(pred) if self.per_image else 1
        maps = (probs, target.to(probs.dtype), weight)
        return f_measure_loss(*(m.reshape(rows, -1) for m in maps), self.beta2, self.log_like)
