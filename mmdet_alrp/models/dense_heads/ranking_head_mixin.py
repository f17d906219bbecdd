"""The mixin that trains a head of MMDetection by a ranking loss."""

from __future__ import annotations

import logging
from typing import Any

import torch
from mmdet.models.dense_heads import DETRHead
from mmdet.structures.bbox import bbox_overlaps, get_box_tensor
from mmengine.logging import print_log
from torch import Tensor

from mmdet_alrp.criteria import largest_scores
from mmdet_alrp.ranking import ClassTargets, at_least_float32
from mmdet_alrp.ranking.outside_graphs import outside_graphs

from .loss_recorder import RecordedBatch, join_records, recording

STEPS_WITHOUT_POSITIVES = 50  # in a row, before a head says so


class RankingHeadMixin:
    """Mixin; must come first: ``class MyHead(RankingHeadMixin, FCOSHead)``.

    It ranks all predictions of a batch together. The head's ``loss_cls`` is one of this package's
    ranking losses. The head's own ``loss_by_feat`` runs unchanged, except that ``loss_cls`` and
    ``loss_bbox`` only record what they are called with. The recorded predictions are then ranked.
    Other losses of the head (centerness, DFL) stay.

    Args:
        *args: Positional arguments of the head.
        **kwargs: Keyword arguments of the head, with a ranking loss as ``loss_cls``.

    Attributes:
        last_losses_finite: Whether all logits and both losses of the last step were finite, a
            scalar on the device; None before the first step.

    Raises:
        ValueError: If ``loss_cls`` is no ranking loss, has not ``use_sigmoid=True`` in the config
            or does not go with ``loss_bbox``, or ``train_cfg`` weighs positives.
    """

    ranked_box_loss = 'loss_bbox'  # the name that the parent has for the box loss to be ranked

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        name = type(self).__name__
        if isinstance(self, DETRHead) and self.ranked_box_loss == 'loss_bbox':
            raise ValueError(
                f'{name} ranks each decoder layer by itself: use RankingDETRHeadMixin, or for a '
                'DINOHead RankingDINOHeadMixin, in place of RankingHeadMixin'
            )
        super().__init__(*args, **kwargs)
        if not hasattr(self.loss_cls, 'check_box_loss'):
            raise ValueError(
                f'{name} needs a ranking loss as loss_cls, such as ALRPLoss or APLoss, '
                f'got {type(self.loss_cls).__name__}'
            )
        if not getattr(self, 'use_sigmoid_cls', True):
            raise ValueError(
                f'{name} ranks independent class scores: its loss_cls needs '
                'use_sigmoid=True in the config'
            )
        check_pos_weight(name, getattr(self, 'train_cfg', None))
        # Heads without that option, such as FCOSHead, always decode.
        box_loss = getattr(self, self.ranked_box_loss)
        self.loss_cls.check_box_loss(box_loss, getattr(self, 'reg_decoded_bbox', True))
        self.last_losses_finite: Tensor | None = None
        self._steps_without_positives = 0

    @outside_graphs
    def loss_by_feat(
        self, cls_scores: list[Tensor], *args: Any, **kwargs: Any
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Args:
            cls_scores: Logits of each level, shape (num_images, num_priors * num_classes, H, W).
            *args: Further arguments of the head's own ``loss_by_feat``.
            **kwargs: Further keyword arguments of the head's own ``loss_by_feat``.

        Returns:
            ``loss_cls`` and ``loss_bbox``, the parent's other losses, and what the ranking loss
            logs, under names without "loss": MMEngine adds up every entry that has it.
        """
        # Boxes need float32: half precision cannot tell an IoU of .9 from one of .91, and the
        # points of heads without anchors take the type of the predictions.
        args = tuple(_in_full_precision(arg) for arg in args)
        kwargs = {name: _in_full_precision(arg) for name, arg in kwargs.items()}
        with torch.autocast(cls_scores[0].device.type, enabled=False), recording(self) as recorders:
            losses = super().loss_by_feat(cls_scores, *args, **kwargs)
        recorded = join_records(*recorders)
        if self.loss_cls.scope == 'image':
            recorded = recorded._replace(
                images=self.images_of_priors(cls_scores, recorded.cls_score),
                num_images=len(cls_scores[0]),
            )
        losses.update(self.ranking_losses(recorded))
        others = [level for arg in (*args, *kwargs.values()) for level in _levels(arg)]
        losses['loss_bbox'] = losses['loss_bbox'] + zero_of(others)
        return losses

    def ranking_losses(self, recorded: RecordedBatch) -> dict[str, Tensor]:
        """Rank recorded predictions.

        The host waits for the device here, once, for the number of positives: sizes of tensors
        follow from it.

        Args:
            recorded: All priors of the batch.

        Returns:
            ``loss_cls``, ``loss_bbox`` and what the ranking loss logs, scalars by name.
        """
        scores = recorded.cls_score
        targets = ClassTargets.of(recorded.labels, recorded.label_weights, scores.size(1))
        pos_index = targets.pos_rows
        self._watch_positives(len(pos_index))

        box_losses, ious = self._measure_boxes(recorded, pos_index)
        more = {}
        if self.loss_cls.needs_box_scores:
            more['box_scores'] = largest_scores(scores, pos_index)
        if recorded.images is not None:
            more.update(images=recorded.images, num_images=recorded.num_images)
        ranked = self.loss_cls(scores.reshape(-1), targets, box_losses, ious=ious, **more)
        # The logits too: one that is not a number may hide in a bin that no positive looks at.
        parts = [part.detach().isfinite() for part in (ranked.loss_cls, ranked.loss_bbox)]
        finite = ranked.logits_finite
        parts.append(scores.detach().isfinite().all() if finite is None else finite)
        self.last_losses_finite = torch.stack(parts).all()
        return {'loss_cls': ranked.loss_cls, 'loss_bbox': ranked.loss_bbox, **ranked.log}

    def boxes_for_loss(
        self, bbox_pred: Tensor, bbox_targets: Tensor, priors: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Turn predictions and targets of positives into what ``loss_bbox`` compares.

        Args:
            bbox_pred: Predictions that the head passed to its box loss, shape (num_pos, box_dim).
            bbox_targets: Targets that the head passed to it, shape (num_pos, box_dim).
            priors: Priors of the positives, one a row, if the predictions are not decoded yet.

        Returns:
            Both as ``loss_bbox`` takes them, boxes (x1, y1, x2, y2) where it compares boxes.
        """
        if priors is not None and self.reg_decoded_bbox:
            bbox_pred = get_box_tensor(self.bbox_coder.decode(priors, bbox_pred))
        return bbox_pred, bbox_targets

    def images_of_priors(self, cls_scores: list[Tensor], prior_scores: Tensor) -> Tensor:
        """Return the image of each prior: MMDetection joins levels, and in each of them images.

        Args:
            cls_scores: Logits of each level, as ``forward`` gives them.
            prior_scores: Logits of all priors, shape (num_priors, num_classes).

        Returns:
            Indices of the images, shape (num_priors,).

        Raises:
            ValueError: If the head does not rank all its priors.
        """
        num_images, num_classes = len(cls_scores[0]), prior_scores.size(1)
        indices = torch.arange(num_images, dtype=torch.int16, device=prior_scores.device)
        images = torch.cat(
            [
                indices.repeat_interleave(level.numel() // (num_images * num_classes))
                for level in cls_scores
            ]
        )
        if len(images) != len(prior_scores):
            raise ValueError(
                f"scope='image' needs a head that ranks all its {len(images)} priors, "
                f'got {len(prior_scores)}'
            )
        return images

    def _measure_boxes(
        self, recorded: RecordedBatch, pos_index: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Return box loss and, if the ranking wants it, IoU of each positive."""
        needs_ious = self.loss_cls.needs_ious
        if not len(pos_index):
            none = recorded.cls_score.new_zeros(0, dtype=torch.float32)
            return none, none if needs_ious else None
        rows = self._rows_of_positives(recorded, pos_index)
        bbox_pred, bbox_targets, priors = (
            part if part is None or rows is None else part[rows]
            for part in (recorded.bbox_pred, recorded.bbox_targets, recorded.priors)
        )
        boxes, true_boxes = self.boxes_for_loss(at_least_float32(bbox_pred), bbox_targets, priors)
        box_loss = getattr(self, self.ranked_box_loss)
        box_losses = box_loss(boxes, true_boxes, reduction_override='none')
        if box_losses.dim() > 1:  # one value a coordinate
            box_losses = box_losses.sum(1)
        if not needs_ious:
            return box_losses, None
        return box_losses, bbox_overlaps(boxes.detach(), true_boxes, is_aligned=True)

    def _rows_of_positives(self, recorded: RecordedBatch, pos_index: Tensor) -> Tensor | None:
        """Return which rows of the box predictions are the positives'; None for all of them."""
        num_rows = 0 if recorded.bbox_pred is None else len(recorded.bbox_pred)
        if num_rows == len(recorded.labels):
            return pos_index
        if num_rows == len(pos_index):
            return None
        # The parent may compare boxes of positives that take no part in the classification.
        labels = recorded.labels
        objects = ((labels >= 0) & (labels < recorded.cls_score.size(1))).nonzero().squeeze(1)
        if num_rows == len(objects):
            return (recorded.label_weights[objects] > 0).nonzero().squeeze(1)
        raise ValueError(
            f'{type(self).__name__}: loss_bbox was given {num_rows} boxes; a ranking needs those '
            f'of all {len(labels)} priors or of the {len(pos_index)} positive ones'
        )

    def _watch_positives(self, num_pos: int) -> None:
        """Warn once if step after step has no positive: nothing would be learnt."""
        self._steps_without_positives = 0 if num_pos else self._steps_without_positives + 1
        if self._steps_without_positives != STEPS_WITHOUT_POSITIVES:
            return
        assigner = (getattr(self, 'train_cfg', None) or {}).get('assigner')
        fits = f', and does {assigner["type"]} fit this head' if assigner else ''
        print_log(
            f'{type(self).__name__}: no positive in {STEPS_WITHOUT_POSITIVES} training steps '
            f'in a row. Do its priors fit the boxes{fits}?',
            logger='current',
            level=logging.WARNING,
        )


def check_pos_weight(name: str, train_cfg: dict | None) -> None:
    """Refuse a weight of positives, which would do nothing.

    Args:
        name: Name of the head, for the message.
        train_cfg: What the head is trained by; its ``pos_weight`` is 1 or, as MMDetection writes
            it, not positive.

    Raises:
        ValueError: If ``pos_weight`` is another number.
    """
    pos_weight = (train_cfg or {}).get('pos_weight', -1)
    if pos_weight > 0 and pos_weight != 1:
        raise ValueError(
            f'{name}: a ranking balances positives and negatives by itself and has no weight of '
            f'positives: set train_cfg.pos_weight=-1, got {pos_weight}'
        )


def zero_of(tensors: list[Tensor]) -> Tensor | int:
    """Return a zero that gives each tensor a gradient of zeros.

    A parameter without gradient would keep the other processes of a group waiting. The sum runs
    over no element, so that nothing infinite turns it into something else.
    """
    return torch.cat([tensor[:0].flatten() for tensor in tensors]).sum() if tensors else 0


def _levels(arg: Any) -> list[Tensor]:
    """Return the tensors of an output of the head, level by level; of other arguments none."""
    is_output = isinstance(arg, (list, tuple)) and all(isinstance(part, Tensor) for part in arg)
    return list(arg) if is_output else []


def _in_full_precision(arg: Any) -> Any:
    """Convert an output of the head; hand other arguments back as they are."""
    levels = _levels(arg)
    return [at_least_float32(level) for level in levels] if levels else arg
