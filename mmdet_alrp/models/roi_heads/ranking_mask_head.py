"""Masks whose loss is balanced by the ranking loss of the boxes, as in Rank & Sort Mask R-CNN."""

from __future__ import annotations

from copy import copy
from typing import Any

import torch
from mmdet.models.roi_heads import FCNMaskHead, StandardRoIHead
from mmdet.registry import MODELS
from torch import Tensor

from mmdet_alrp.ranking import RankingOptions, weighted_box_mean

from .ranking_bbox_head import RankingBBoxHeadMixin

DICE_LOSS = {'type': 'DiceLoss', 'use_sigmoid': True, 'activate': True, 'eps': 5e-6}


@MODELS.register_module()
class RankingFCNMaskHead(FCNMaskHead):
    """FCNMaskHead with one loss a mask, for a :class:`RankingStandardRoIHead` to weigh.

    Args:
        *args: Positional arguments of MMDetection's ``FCNMaskHead``.
        loss_mask: A loss with one value a mask; None is the Dice loss.
        **kwargs: Keyword arguments of ``FCNMaskHead``.
    """

    def __init__(self, *args: Any, loss_mask: dict | None = None, **kwargs: Any) -> None:
        super().__init__(*args, loss_mask=loss_mask or DICE_LOSS, **kwargs)

    def loss_and_target(
        self,
        mask_preds: Tensor,
        sampling_results: list,
        batch_gt_instances: list,
        rcnn_train_cfg: dict,
    ) -> dict:
        """Compute the loss of each mask, with the arguments of FCNMaskHead.

        Returns:
            ``loss_mask``, a dict with the losses of the masks, shape (num_masks,), under
            ``loss_mask``, and ``mask_targets``.

        Raises:
            ValueError: If ``loss_mask`` has not one value a mask.
        """
        targets = self.get_targets(sampling_results, batch_gt_instances, rcnn_train_cfg)
        labels = torch.cat([result.pos_gt_labels for result in sampling_results])
        if self.class_agnostic:
            labels = torch.zeros_like(labels)
        if not len(mask_preds):
            losses = mask_preds.sum((1, 2, 3))
        else:
            of_class = mask_preds[torch.arange(len(labels), device=labels.device), labels]
            losses = self.loss_mask(of_class.float(), targets, reduction_override='none')
        if losses.shape != labels.shape:
            raise ValueError(
                f'{type(self).__name__} needs a loss_mask with one value a mask, such as DiceLoss; '
                f'got shape {tuple(losses.shape)} for {len(labels)} masks'
            )
        return {'loss_mask': {'loss_mask': losses}, 'mask_targets': targets}


@MODELS.register_module()
class RankingStandardRoIHead(StandardRoIHead):
    """StandardRoIHead whose mask loss is balanced by the classification loss of its boxes.

    The mask loss is a mean over the positives in which each weighs as much as its largest class
    score. In every step that mean is multiplied by ``loss_cls / mean``, as the box loss of Rank &
    Sort is, so that there is no weight to tune.

    Args:
        *args: Positional arguments of MMDetection's ``StandardRoIHead``.
        max_masks: Masks of at most so many positives of a step are trained, drawn at random.
            Without a sampler all proposals that overlap an object are positive.
        **kwargs: Keyword arguments of ``StandardRoIHead``; ``bbox_head`` is a ranking head and
            ``mask_head`` a :class:`RankingFCNMaskHead`.

    Raises:
        ValueError: If the heads are others, they share the RoI extractor or ``max_masks`` is not a
            positive integer.

    Reference:
        Oksuz et al., ICCV 2021, arXiv:2107.11669, Section 5.2; the Dice loss, the weights and 200
        masks as in the published code.
    """

    def __init__(self, *args: Any, max_masks: int = 200, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        name = type(self).__name__
        if type(max_masks) is not int or max_masks < 1:
            raise ValueError(f'max_masks must be a positive integer, got {max_masks!r}')
        if not isinstance(self.bbox_head, RankingBBoxHeadMixin):
            raise ValueError(
                f'{name} balances masks by a ranking loss: it needs a bbox_head such as '
                f'RankingShared2FCBBoxHead, got {type(self.bbox_head).__name__}'
            )
        if not (self.with_mask and isinstance(self.mask_head, RankingFCNMaskHead)):
            raise ValueError(f'{name} weighs each mask: it needs a RankingFCNMaskHead as mask_head')
        if self.share_roi_extractor:
            raise ValueError(f'{name} trains some of the masks: it needs a mask_roi_extractor')
        self.max_masks = max_masks

    def bbox_loss(self, x: tuple[Tensor, ...], sampling_results: list) -> dict:
        """Compute the losses of the boxes, and keep their scores to weigh the masks."""
        results = super().bbox_loss(x, sampling_results)
        best = results['cls_score'].detach().float().sigmoid().amax(1)
        counts = [len(result.priors) for result in sampling_results]
        # The priors of an image begin with its positives.
        self._scores = torch.cat(
            [
                of_image[: len(result.pos_priors)]
                for of_image, result in zip(best.split(counts), sampling_results, strict=True)
            ]
        )
        self._loss_cls = results['loss_bbox']['loss_cls'].detach()
        return results

    def mask_loss(
        self,
        x: tuple[Tensor, ...],
        sampling_results: list,
        bbox_feats: Tensor,
        batch_gt_instances: list,
    ) -> dict:
        """Compute the balanced loss of the masks, with the arguments of StandardRoIHead."""
        kept, scores = draw_positives(sampling_results, self._scores, self.max_masks)
        results = super().mask_loss(x, kept, bbox_feats, batch_gt_instances)
        losses = results['loss_mask']['loss_mask']
        mean = weighted_box_mean(losses, scores, RankingOptions())
        bare = mean.detach()
        ratio = torch.where(bare == 0, 1, self._loss_cls / bare)
        results['loss_mask'] = {'loss_mask': ratio * mean}
        return results


def draw_positives(sampling_results: list, scores: Tensor, most: int) -> tuple[list, Tensor]:
    """Keep some of the positives of a batch, drawn at random.

    Args:
        sampling_results: MMDetection's, one an image; they stay as they are.
        scores: A value of each positive, image after image, shape (num_pos,).
        most: How many are kept.

    Returns:
        Sampling results with the positives that were drawn, and their values.
    """
    counts = [len(result.pos_priors) for result in sampling_results]
    if sum(counts) <= most:
        return sampling_results, scores
    drawn = torch.randperm(sum(counts))[:most].sort().values
    ends = torch.tensor(counts).cumsum(0)
    owners = torch.bucketize(drawn, ends, right=True)
    rows = drawn - (ends - torch.tensor(counts))[owners]
    sizes = torch.bincount(owners, minlength=len(counts)).tolist()
    # All that is drawn goes to the device at once, and no step waits for it.
    places = torch.stack([drawn, rows])
    if scores.is_cuda:
        places = places.pin_memory()
    drawn, rows = places.to(scores.device, non_blocking=True)
    kept = []
    for result, of_image in zip(sampling_results, rows.split(sizes), strict=True):
        part = copy(result)
        for name in ('pos_priors', 'pos_assigned_gt_inds', 'pos_gt_labels'):
            setattr(part, name, getattr(result, name)[of_image])
        kept.append(part)
    return kept, scores[drawn]
