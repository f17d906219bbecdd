"""What every head with a ranking loss shares: from gathered predictions to the loss dict."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

from mmengine.logging import print_log
from torch import Tensor, cat, int8

STEPS_WITHOUT_POSITIVES = 50  # in a row, before a head says so


class Gathered(NamedTuple):
    """Predictions and targets of all priors of a batch, as the ranking sees them.

    Attributes:
        cls_score: Logits, shape (num_priors, num_classes).
        labels: Class index of a positive prior, ``num_classes`` otherwise, shape (num_priors,).
        label_weights: 0 for a prior that takes no part, shape (num_priors,).
        bbox_pred: Box deltas, shape (num_priors, box_dim).
        bbox_targets: Ground-truth boxes of the positive priors, shape (num_priors, 4).
        priors: What the box coder decodes with, shape (num_priors, 4).
    """

    cls_score: Tensor
    labels: Tensor
    label_weights: Tensor
    bbox_pred: Tensor
    bbox_targets: Tensor
    priors: Tensor


class RankingHeadMixin:
    """Ranks all predictions of a batch in one ranking.

    Stands before an MMDetection head in the bases of a class. The head's own ``loss_by_feat`` runs
    up to the point where it would compute the losses of one level: there
    ``loss_by_feat_single`` hands back what it was given, and the mixin ranks all levels together.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.use_sigmoid_cls:
            raise ValueError(
                f'{type(self).__name__} ranks independent class scores: its loss_cls needs '
                'use_sigmoid=True in the config'
            )
        if not self.reg_decoded_bbox:
            raise ValueError(
                f'{type(self).__name__} measures localisation on boxes: set reg_decoded_bbox=True'
            )
        self.loss_cls.check_box_loss(self.loss_bbox)
        self._steps_without_positives = 0

    def loss_by_feat(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Args:
            *args: As the parent head takes them.
            **kwargs: As the parent head takes them.

        Returns:
            ``loss_cls`` and ``loss_bbox``, which are trained, and for the log ``loc_error`` (the
            localisation part without its weight) and ``self_balance_ratio``.
        """
        levels = super().loss_by_feat(*args, **kwargs)['loss_cls']
        gathered = Gathered(*(cat(parts) for parts in zip(*levels, strict=True)))
        return self.rank(gathered)

    def rank(self, gathered: Gathered) -> dict[str, Tensor]:
        """Rank gathered predictions and return the loss dict."""
        labels = gathered.labels
        num_classes = gathered.cls_score.size(1)
        pos_index = ((labels >= 0) & (labels < num_classes)).nonzero().squeeze(1)
        targets = labels.new_zeros(gathered.cls_score.shape, dtype=int8)
        targets.masked_fill_((gathered.label_weights <= 0).unsqueeze(1), -1)
        targets[pos_index, labels[pos_index]] = 1
        self._watch_positives(len(pos_index))

        # Boxes need float32: half precision cannot tell an IoU of .9 from one of .91.
        bbox_pred = gathered.bbox_pred[pos_index].float()
        if len(pos_index):
            boxes = self.bbox_coder.decode(gathered.priors[pos_index], bbox_pred)
            box_losses = self.loss_bbox(
                boxes, gathered.bbox_targets[pos_index], reduction_override='none'
            )
        else:
            box_losses = bbox_pred.sum(1)  # of no row: empty, but every parameter gets a gradient
        loss_cls, loss_bbox, loc_error = self.loss_cls(
            gathered.cls_score.reshape(-1),
            targets.reshape(-1),
            self.loss_cls.loc_errors(box_losses, self.loss_bbox),
        )
        return {
            'loss_cls': loss_cls,
            'loss_bbox': loss_bbox,
            # Logged only: MMEngine adds up every entry whose name contains "loss".
            'loc_error': loc_error,
            'self_balance_ratio': self.loss_cls.balance.ratio.clone(),
        }

    def _watch_positives(self, num_pos: int) -> None:
        """Warn once if step after step has no positive: nothing would be learnt."""
        self._steps_without_positives = 0 if num_pos else self._steps_without_positives + 1
        if self._steps_without_positives == STEPS_WITHOUT_POSITIVES:
            assigner = self.train_cfg['assigner']['type']
            print_log(
                f'{type(self).__name__}: no positive in {STEPS_WITHOUT_POSITIVES} training steps '
                f'in a row. Do the anchors fit the boxes, and does {assigner} fit this head?',
                logger='current',
                level=logging.WARNING,
            )
