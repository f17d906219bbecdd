"""Mixins that turn a ranking criterion into a loss of MMDetection's heads."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mmdet_alrp.criteria import BalancedCriterion, PositiveBoxes, RankedLosses, RankingCriterion
from mmdet_alrp.ranking import ClassTargets

from .missing_hook import warn_without_hook

# MMDetection's box losses that measure localisation, and what the criteria call them.
BOX_LOSS_NAMES = {'IoULoss': 'iou', 'GIoULoss': 'giou', 'DIoULoss': 'diou', 'CIoULoss': 'ciou'}


class RankingLoss(RankingCriterion):
    """Mixin for registered losses; must come first: ``class MyLoss(RankingLoss, MyCriterion)``.

    The loss is the ``loss_cls`` of a ranking head. The head's ``loss_bbox`` measures the boxes.

    Args:
        use_sigmoid: Must be True; MMDetection's heads size their classifier by it.
        **kwargs: Arguments of the criterion, but no ``box_loss``.

    Raises:
        ValueError: If ``use_sigmoid`` is False, or an argument is out of its range or unknown.
        TypeError: If there is a ``box_loss``, or a keyword that the criterion does not know.
    """

    needs_boxes = False  # whether box losses must be of decoded boxes

    # What MMDetection's BBoxHead asks a loss: a classifier without a background column.
    custom_cls_channels = True
    custom_activation = True
    custom_accuracy = True

    def __init__(self, use_sigmoid: bool = True, **kwargs: Any) -> None:
        name = type(self).__name__
        if not use_sigmoid:
            raise ValueError(f'{name} ranks independent class scores: use_sigmoid must be True')
        if 'box_loss' in kwargs:
            raise TypeError(f"{name} takes no box_loss: set the head's loss_bbox")
        super().__init__(**kwargs)

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
        if not decoded and box_name in BOX_LOSS_NAMES:
            raise ValueError(f'{box_name} compares boxes, not deltas: set reg_decoded_bbox=True')

    def forward(
        self,
        logits: Tensor,
        targets: Tensor | ClassTargets,
        box_losses: Tensor | None = None,
        ious: Tensor | None = None,
        images: Tensor | None = None,
        num_images: int = 1,
        box_scores: Tensor | None = None,
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
            box_scores: Largest class score of each positive, after the sigmoid, shape (num_pos,);
                if ``needs_box_scores``.
            **mmdet_keywords: Unexpected keywords raise TypeError: only a head that does not rank
                passes any.

        Returns:
            Both losses and what is to be logged; without positives the losses are 0 and still
            connected to ``logits`` and ``box_losses``.

        Raises:
            TypeError: If a head calls it that is no ranking head, ``images`` is missing,
                ``logits`` is not floating point, or ``targets`` or ``images`` is not an integer
                tensor.
            ValueError: If shapes disagree.
        """
        if mmdet_keywords or box_losses is None:
            raise TypeError(
                f'{type(self).__name__} needs a ranking head, such as RankingRetinaHead in place '
                'of RetinaHead (docs/own_head.md: any head of your own in two lines)'
            )
        warn_without_hook(self)
        boxes = PositiveBoxes(box_losses, ious, box_scores)
        return self.rank_flat(logits, targets, boxes, images, num_images)

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


class BalancedRankingLoss(RankingLoss, BalancedCriterion):
    """A registered ranking loss whose box loss is multiplied by a self-balance ratio.

    A subclass returns its classification and its box loss from ``_parts``.

    Args:
        **kwargs: ``use_sigmoid``, which must be True in the config; ``delta``, half-width of the
            smoothed step in logits (1); ``self_balance``, whether a ratio that follows the training
            multiplies the box loss (False); ``initial_ratio``, weight of the box loss in the first
            period (None is 50 with and 1 without self-balancing); ``balance_every``, which sets the
            ratio every so many calls in training, without a hook; ``scope``, what is one ranking:
            'process' (default), 'image' or 'global'; ``error_skew``, exponent of the error
            distribution (0 as published); ``loss_weight``, factor of both losses (1).
    """
