"""Base of the ranking criteria: from logits, class indices and boxes to two losses."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mmdet_alrp.ranking import (
    ClassTargets,
    Ranking,
    RankingOptions,
    at_least_float32,
    build_ranking,
    zero_loss,
)
from mmdet_alrp.ranking.outside_graphs import outside_graphs

from .box_losses import BOX_LOSSES, matched_ious
from .class_targets import class_targets

SCOPES = ('process', 'image', 'global')


class RankedLosses(NamedTuple):
    """Losses and figures that a criterion returns.

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


class PositiveBoxes(NamedTuple):
    """Losses, IoUs and scores of the boxes of the positives, in the order of the positives.

    Attributes:
        losses: Unreduced box losses, shape (num_pos,).
        ious: IoU of each box with its target, shape (num_pos,), if the criterion asks for it.
        scores: Largest class score of each positive after the sigmoid, shape (num_pos,), if the
            criterion asks for it.
    """

    losses: Tensor
    ious: Tensor | None = None
    scores: Tensor | None = None


class RankingCriterion(nn.Module):
    """Base of the ranking criteria: ranks all predictions of a batch and measures its boxes.

    A subclass turns a ranking into losses in ``_losses``.

    Args:
        delta: Half-width of the smoothed step, in logits; 0 gives the hard step.
        scope: What is one ranking: all predictions of a 'process' (as published), those of an
            'image' (the loss is the mean over the images), or those of all processes, 'global'.
        error_skew: Exponent g of the error distribution ``p(j | i) ~ sigmoid(s_j)^g H(x_ij)``; 0 is
            the published uniform one, larger ones blame negatives of high score.
        loss_weight: Factor of the classification and of the box loss.
        box_loss: How boxes are compared: 'iou', 'giou', 'diou' or 'ciou'.

    Raises:
        ValueError: If ``delta``, ``error_skew`` or ``loss_weight`` is not a finite number >= 0, or
            ``scope`` or ``box_loss`` is unknown.
    """

    needs_ious = False  # whether the IoUs of boxes and targets are wanted
    needs_box_scores = False  # whether the largest class score of each positive is wanted

    def __init__(
        self,
        delta: float = 1.0,
        scope: str = 'process',
        error_skew: float = 0.0,
        loss_weight: float = 1.0,
        box_loss: str = 'giou',
    ) -> None:
        super().__init__()
        for keyword, value, known in (('scope', scope, SCOPES), ('box_loss', box_loss, BOX_LOSSES)):
            if value not in known:
                raise ValueError(f'{keyword} must be one of {", ".join(known)}, got {value!r}')
        numbers = {'delta': delta, 'error_skew': error_skew, 'loss_weight': loss_weight}
        for keyword, value in numbers.items():
            if not 0 <= value < float('inf'):
                raise ValueError(f'{keyword} must be a finite number >= 0, got {value}')
        self.delta = delta
        self.scope = scope
        self.error_skew = error_skew
        self.loss_weight = loss_weight
        self.box_loss = box_loss

    @outside_graphs
    def forward(
        self,
        logits: Tensor,
        class_indices: Tensor,
        boxes: Tensor,
        target_boxes: Tensor,
        images: Tensor | None = None,
        num_images: int | None = None,
    ) -> RankedLosses:
        """Rank a batch and measure its boxes.

        The result is computed in float32 or better, also under autocast. The host waits for the
        device, for the number of positives: sizes of tensors follow from it. (Without Triton it
        waits again, for the number of negatives that matter, and Rank & Sort once more, for the
        boxes that hit.)

        Args:
            logits: Class scores before the sigmoid of all anchors, points or queries of the batch,
                shape (n, C).
            class_indices: 0 to C - 1 for a positive, C for the background, -1 for what takes no
                part, integer, shape (n,).
            boxes: Predicted boxes of the positives in the order of ``class_indices``, x1, y1, x2,
                y2 in any unit, shape (num_pos, 4). One with x2 < x1 or y2 < y1 has the area 0.
            target_boxes: What these boxes should be, shape (num_pos, 4).
            images: Image of each row of ``logits``, 0 <= image < ``num_images``, integer, shape
                (n,); needed with ``scope='image'``, else unused.
            num_images: Number of images; needed with ``scope='image'``.

        Returns:
            ``loss_cls`` and ``loss_bbox``, to be added up and trained, and figures to log. Without
            a positive both losses are 0 and still connected to ``logits`` and ``boxes``.

        Raises:
            ValueError: If shapes disagree, or a class index on the CPU is outside [-1, C].
            TypeError: If a dtype does not fit, or ``images`` is missing.
        """
        self._before_ranking()
        with torch.autocast(logits.device.type, enabled=False):
            targets = class_targets(logits, class_indices)
            pos_rows = targets.pos_rows
            for name, value in (('boxes', boxes), ('target_boxes', target_boxes)):
                if value.shape != (len(pos_rows), 4):
                    raise ValueError(
                        f'{name} must have one row per positive: '
                        f'expected shape ({len(pos_rows)}, 4), got {tuple(value.shape)}'
                    )
            boxes, target_boxes = at_least_float32(boxes), at_least_float32(target_boxes).detach()
            measured = PositiveBoxes(BOX_LOSSES[self.box_loss](boxes, target_boxes))
            if self.needs_ious:
                measured = measured._replace(ious=matched_ious(boxes.detach(), target_boxes))
            if self.needs_box_scores:
                measured = measured._replace(scores=largest_scores(logits, pos_rows))
            return self.rank_flat(logits.reshape(-1), targets, measured, images, num_images)

    def _before_ranking(self) -> None:
        """Warn of settings that would train badly; called at every step."""

    @outside_graphs
    def rank_flat(
        self,
        logits: Tensor,
        targets: Tensor | ClassTargets,
        boxes: PositiveBoxes,
        images: Tensor | None = None,
        num_images: int | None = None,
    ) -> RankedLosses:
        """Rank flattened logits, with boxes that were measured elsewhere.

        Args:
            logits: Scores before the sigmoid, shape (n,).
            targets: 1 positive, 0 negative, -1 ignored, integer, shape (n,); or class indices.
            boxes: Box losses of the positives in the order of ``targets``, and what else
                ``needs_ious`` and ``needs_box_scores`` ask for.
            images: Image of each logit, or of each row of class indices; needed with
                ``scope='image'``, else unused.
            num_images: Number of images; needed with ``scope='image'``.

        Returns:
            ``loss_cls`` and ``loss_bbox``, to be added up and trained, and figures to log. Without
            a positive both losses are 0 and still connected to ``logits`` and ``boxes``.

        Raises:
            TypeError: If ``images`` is missing, ``logits`` is not floating point, or ``targets`` or
                ``images`` is not an integer tensor.
            ValueError: If shapes disagree.
        """
        group = True if self.scope == 'global' and _world_size() > 1 else None
        if self.scope != 'image':
            images = num_images = None
        elif images is None:
            raise TypeError(f"{type(self).__name__} with scope='image' needs the logits' images")
        boxes = boxes._replace(losses=at_least_float32(boxes.losses))
        options = RankingOptions(self.error_skew, images, num_images, group)
        losses = self._rank(logits, targets, options, boxes)
        losses = losses._replace(
            loss_cls=self.loss_weight * losses.loss_cls,
            loss_bbox=self.loss_weight * losses.loss_bbox,
        )
        if group is None:
            return losses
        # DistributedDataParallel averages gradients over processes; the parts of one ranking that
        # the processes hold must add up.
        return losses._replace(
            loss_cls=_scale_gradient(losses.loss_cls, _world_size()),
            loss_bbox=_scale_gradient(losses.loss_bbox, _world_size()),
        )

    def _rank(
        self,
        logits: Tensor,
        targets: Tensor | ClassTargets,
        options: RankingOptions,
        boxes: PositiveBoxes,
    ) -> RankedLosses:
        """Rank and make the losses, without ``loss_weight``."""
        ranking = build_ranking(logits, targets, self.delta, options, box_losses=boxes.losses)
        if ranking is None:
            return self._losses_without_positives(logits, boxes.losses)
        losses = self._losses(logits, ranking, boxes.losses, boxes.ious)
        return losses._replace(logits_finite=ranking.all_finite)

    def _losses(
        self, logits: Tensor, ranking: Ranking, box_losses: Tensor, ious: Tensor | None
    ) -> RankedLosses:
        """Make the losses, without ``loss_weight``, of a ranking."""
        raise TypeError(
            f'{type(self).__name__} must define _losses(logits, ranking, box_losses, ious)'
        )

    def _losses_without_positives(self, logits: Tensor, box_losses: Tensor) -> RankedLosses:
        """Make zero losses that are connected to what they are given."""
        return RankedLosses(zero_loss(logits), box_losses.sum(), {})


def largest_scores(logits: Tensor, rows: Tensor) -> Tensor:
    """Return the largest class score of some rows after the sigmoid, detached, shape (num_rows,).

    Args:
        logits: Scores before the sigmoid, shape (n, C).
        rows: Indices of rows, shape (num_rows,).
    """
    return at_least_float32(logits.detach()[rows]).sigmoid().amax(1)


def _world_size() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def _scale_gradient(loss: Tensor, factor: float) -> Tensor:
    """Return ``loss`` with ``factor`` times its gradient."""
    return loss.detach() + factor * (loss - loss.detach())
