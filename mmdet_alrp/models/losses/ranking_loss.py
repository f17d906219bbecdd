"""What the registered ranking losses share: keywords, scopes, and how boxes are weighted."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mmdet_alrp.ranking import (
    ClassTargets,
    Ranking,
    RankingOptions,
    at_least_float32,
    rank,
    zero_loss,
)

# Largest value of the box losses that measure localisation as 1 - (generalised) IoU.
BOX_LOSS_RANGE = {'IoULoss': 1.0, 'GIoULoss': 2.0, 'DIoULoss': 2.0, 'CIoULoss': 2.0}
SCOPES = ('process', 'image', 'global')


class RankedLosses(NamedTuple):
    """What a ranking loss hands back to its head.

    Attributes:
        loss_cls: Weighted classification loss, a scalar.
        loss_bbox: Weighted and balanced box loss, a scalar.
        log: Further scalars for the training log, detached; no name contains "loss".
        logits_finite: Whether all logits are finite, a scalar; None if nothing was ranked.
    """

    loss_cls: Tensor
    loss_bbox: Tensor
    log: dict[str, Tensor]
    logits_finite: Tensor | None = None


class RankingLoss(nn.Module):
    """Base of the registered ranking losses; stands in the ``loss_cls`` of a ranking head.

    A subclass says in ``_losses`` what is made of a ranking.

    Args:
        delta: Half-width of the smoothed step, in logits; 0 gives the hard step.
        scope: What is one ranking: all predictions of a 'process' (as published), those of an
            'image' (the loss is the mean over the images), or those of all processes, 'global'.
        error_skew: Exponent g of the error distribution ``p(j | i) ~ sigmoid(s_j)^g H(x_ij)``; 0 is
            the published uniform one, larger ones blame negatives of high score.
        loss_weight: Factor of the classification and of the box loss.
        use_sigmoid: Must be True; MMDetection's heads size their classifier by it.

    Raises:
        ValueError: If ``delta``, ``error_skew`` or ``loss_weight`` is not a finite number >= 0,
            ``scope`` is unknown or ``use_sigmoid`` is False.
    """

    needs_ious = False  # whether forward() wants the IoUs of boxes and targets
    needs_boxes = False  # whether box losses must be of decoded boxes

    # What MMDetection's BBoxHead asks a loss: a classifier without a background column.
    custom_cls_channels = True
    custom_activation = True
    custom_accuracy = True

    def __init__(
        self,
        delta: float = 1.0,
        scope: str = 'process',
        error_skew: float = 0.0,
        loss_weight: float = 1.0,
        use_sigmoid: bool = True,
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if not use_sigmoid:
            raise ValueError(f'{name} ranks independent class scores: use_sigmoid must be True')
        if scope not in SCOPES:
            raise ValueError(f'scope must be one of {", ".join(SCOPES)}, got {scope!r}')
        numbers = {'delta': delta, 'error_skew': error_skew, 'loss_weight': loss_weight}
        for keyword, value in numbers.items():
            if not 0 <= value < float('inf'):
                raise ValueError(f'{keyword} must be a finite number >= 0, got {value}')
        self.delta = delta
        self.scope = scope
        self.error_skew = error_skew
        self.loss_weight = loss_weight

    def check_box_loss(self, loss_bbox: nn.Module, decoded: bool) -> None:
        """Refuse a box loss that does not fit this ranking loss.

        Args:
            loss_bbox: The head's box loss.
            decoded: Whether the head hands it boxes, and not the deltas of a box coder.

        Raises:
            ValueError: In one line that says what to change.
        """
        name, box_name = type(self).__name__, type(loss_bbox).__name__
        if self.needs_boxes and not decoded:
            raise ValueError(f'{name} measures localisation on boxes: set reg_decoded_bbox=True')
        if not decoded and box_name in BOX_LOSS_RANGE:
            raise ValueError(f'{box_name} compares boxes, not deltas: set reg_decoded_bbox=True')

    def forward(
        self,
        logits: Tensor,
        targets: Tensor | ClassTargets,
        box_losses: Tensor | None = None,
        ious: Tensor | None = None,
        images: Tensor | None = None,
        num_images: int = 1,
        **mmdet_keywords: Any,
    ) -> RankedLosses:
        """Rank a batch.

        Args:
            logits: Scores before the sigmoid, shape (n,).
            targets: 1 positive, 0 negative, -1 ignored, integer, shape (n,); or class indices.
            box_losses: Unreduced box loss of the positives in the order of ``targets``, shape
                (num_pos,); a ranking head always gives them.
            ious: IoU of each positive's box with its target, shape (num_pos,); if ``needs_ious``.
            images: Image of each logit, or of each row of class indices; if ``scope`` is 'image'.
            num_images: Number of images.
            **mmdet_keywords: None; here to tell a head that does not rank from one that does.

        Returns:
            Both losses and what is to be logged; without positives the losses are 0 and still
            connected to ``logits`` and ``box_losses``.

        Raises:
            TypeError: If a head calls it that is no ranking head, or ``images`` is missing; else
                as :func:`mmdet_alrp.ranking.average_precision_loss`.
            ValueError: As :func:`mmdet_alrp.ranking.average_precision_loss`.
        """
        if mmdet_keywords or box_losses is None:
            raise TypeError(
                f'{type(self).__name__} needs a ranking head, such as RankingRetinaHead in place '
                'of RetinaHead (docs/own_head.md: any head of your own in two lines)'
            )
        group = True if self.scope == 'global' and _world_size() > 1 else None
        if self.scope != 'image':
            images = num_images = None
        elif images is None:
            raise TypeError(f"{type(self).__name__} with scope='image' needs the logits' images")
        box_losses = at_least_float32(box_losses)
        options = RankingOptions(self.error_skew, images, num_images, group)
        ranking = rank(logits, targets, self.delta, options, box_losses=box_losses)
        if ranking is None:
            return self._weighted(self._losses_without_positives(logits, box_losses))
        losses = self._weighted(self._losses(logits, ranking, box_losses, ious))
        losses = losses._replace(logits_finite=ranking.all_finite)
        if group is None:
            return losses
        # DistributedDataParallel averages gradients over processes; the parts of one ranking that
        # the processes hold must add up.
        return losses._replace(
            loss_cls=_scale_gradient(losses.loss_cls, _world_size()),
            loss_bbox=_scale_gradient(losses.loss_bbox, _world_size()),
        )

    def _losses(
        self, logits: Tensor, ranking: Ranking, box_losses: Tensor, ious: Tensor | None
    ) -> RankedLosses:
        """Make the losses, without ``loss_weight``, of a ranking."""
        raise TypeError(f'{type(self).__name__} does not say what it makes of a ranking')

    def _losses_without_positives(self, logits: Tensor, box_losses: Tensor) -> RankedLosses:
        """Make zero losses that are connected to what they are given."""
        return RankedLosses(zero_loss(logits), box_losses.sum(), {})

    def _weighted(self, losses: RankedLosses) -> RankedLosses:
        return losses._replace(
            loss_cls=self.loss_weight * losses.loss_cls,
            loss_bbox=self.loss_weight * losses.loss_bbox,
        )

    def get_cls_channels(self, num_classes: int) -> int:
        """Return how many logits a box head predicts: one a class."""
        return num_classes

    def get_activation(self, cls_score: Tensor) -> Tensor:
        """Turn logits, (n, num_classes), into scores with a background column, which is 0."""
        scores = cls_score.sigmoid()
        return torch.cat([scores, scores.new_zeros(len(scores), 1)], 1)

    def get_accuracy(self, cls_score: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return nothing: the accuracy of a classifier without background says nothing."""
        return {}


def _world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _scale_gradient(loss: Tensor, factor: float) -> Tensor:
    """Return ``loss`` with ``factor`` times its gradient."""
    return loss.detach() + factor * (loss - loss.detach())
