"""The second stage's box head without sampler and background class, trained by a ranking loss."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.roi_heads import BBoxHead, Shared2FCBBoxHead
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from mmdet_alrp.ranking import at_least_float32
from mmdet_alrp.ranking.outside_graphs import outside_graphs

from ..dense_heads.loss_recorder import RecordedBatch, join_records, recording
from ..dense_heads.ranking_head_mixin import RankingHeadMixin, check_pos_weight, zero_of


class RankingBBoxHeadMixin(RankingHeadMixin):
    """Mixin for box heads; must come first: ``class MyHead(RankingBBoxHeadMixin, BBoxHead)``.

    It ranks all proposals and classes of a batch together. Each class is scored by its own sigmoid,
    and there is no column for the background.

    Args:
        *args: Positional arguments of the head.
        **kwargs: Keyword arguments of the head, with a ranking loss as ``loss_cls``.

    Raises:
        ValueError: If the head has no classifier or no box branch, or its losses do not fit.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not (self.with_cls and self.with_reg):
            raise ValueError(f'{type(self).__name__} needs with_cls=True and with_reg=True')
        self._num_images: int | None = None

    def loss_and_target(
        self,
        cls_score: Tensor,
        bbox_pred: Tensor,
        rois: Tensor,
        sampling_results: list,
        rcnn_train_cfg: dict,
        *args: Any,
        **kwargs: Any,
    ) -> dict:
        """Compute losses and targets, with the arguments of MMDetection's BBoxHead.

        Raises:
            ValueError: If ``rcnn_train_cfg`` weighs positives, scores or boxes are missing, or each
                proposal is to have a loss of its own.
        """
        check_pos_weight(type(self).__name__, rcnn_train_cfg)
        self._num_images = len(sampling_results)
        try:
            return super().loss_and_target(
                cls_score, bbox_pred, rois, sampling_results, rcnn_train_cfg, *args, **kwargs
            )
        finally:
            self._num_images = None

    @outside_graphs
    def loss(
        self,
        cls_score: Tensor | None,
        bbox_pred: Tensor | None,
        rois: Tensor,
        labels: Tensor,
        label_weights: Tensor,
        bbox_targets: Tensor,
        bbox_weights: Tensor,
        reduction_override: str | None = None,
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch, with the arguments of MMDetection's BBoxHead.

        The parent takes None for scores or boxes and leaves that loss out. Here scores and boxes
        are one ranking.

        Returns:
            ``loss_cls`` and ``loss_bbox`` and what the ranking loss logs.

        Raises:
            ValueError: If ``cls_score`` or ``bbox_pred`` is None, or a reduction is asked for, as
                OHEM samplers do.
        """
        if cls_score is None or bbox_pred is None:
            missing = 'cls_score' if cls_score is None else 'bbox_pred'
            raise ValueError(
                f'{type(self).__name__} ranks scores and boxes together, so it needs both: '
                f'{missing} is None'
            )
        if reduction_override is not None:
            raise ValueError(
                f'{type(self).__name__} ranks proposals together, so none has a loss of its own: '
                "use sampler=dict(type='PseudoSampler')"
            )
        bbox_pred = at_least_float32(bbox_pred)  # for the reason that the parent mixin gives
        args = (cls_score, bbox_pred, rois, labels, label_weights, bbox_targets)
        if super().loss.__func__ is BBoxHead.loss:
            losses, recorded = {}, self._record(*args)
        else:
            with torch.autocast(rois.device.type, enabled=False), recording(self) as recorders:
                losses = super().loss(*args, bbox_weights)
                if not len(rois):  # then BBoxHead has no use for its losses
                    self.loss_cls(cls_score, labels, label_weights)
            recorded = join_records(*recorders)
        if self.loss_cls.scope == 'image':
            images = rois[:, 0].short()
            # Waits for the device only where a head is called without loss_and_target.
            num_images = self._num_images or (int(images.max()) + 1 if len(rois) else 1)
            recorded = recorded._replace(images=images, num_images=num_images)
        losses.update(self.ranking_losses(recorded))
        losses['loss_bbox'] = losses['loss_bbox'] + zero_of([bbox_pred])
        return losses

    def _record(
        self,
        cls_score: Tensor,
        bbox_pred: Tensor,
        rois: Tensor,
        labels: Tensor,
        label_weights: Tensor,
        bbox_targets: Tensor,
    ) -> RecordedBatch:
        """Return what BBoxHead hands to its losses.

        BBoxHead waits six times for the device, and decodes each proposal for every class. The
        ranking decodes the boxes of the positives, for their own class.
        """
        if not self.reg_class_agnostic:
            of_classes = bbox_pred.unflatten(1, (self.num_classes, -1))
            classes = labels.clamp(0, self.num_classes - 1)
            bbox_pred = of_classes[torch.arange(len(rois), device=rois.device), classes]
        return RecordedBatch(
            cls_score, labels, label_weights, bbox_pred, bbox_targets, priors=rois[:, 1:]
        )

    def refine_bboxes(
        self, sampling_results: list, bbox_results: dict, batch_img_metas: list[dict]
    ) -> list[InstanceData]:
        """Refine boxes for the next stage of a cascade, with the arguments of BBoxHead.

        Without proposals the parent refines nothing and the cascade stops; the next stages'
        parameters would then have no gradient, and other processes would wait for them.
        """
        rois = bbox_results['rois']
        if not len(rois):
            return [InstanceData(bboxes=rois[:, 1:]) for _ in batch_img_metas]
        return super().refine_bboxes(sampling_results, bbox_results, batch_img_metas)


@MODELS.register_module()
class RankingShared2FCBBoxHead(RankingBBoxHeadMixin, Shared2FCBBoxHead):
    """Shared2FCBBoxHead with a ranking over all proposals, classes and images of a batch.

    Takes the arguments of MMDetection's ``Shared2FCBBoxHead``; ``loss_cls`` is a ranking loss, and
    ``reg_decoded_bbox`` must be True for those that measure boxes by their IoU. No sampler is
    needed: ``train_cfg.rcnn.sampler=dict(type='PseudoSampler')`` ranks all proposals.
    """
