"""Targets of all images of a batch at once, where the assigner is one that is known."""

from __future__ import annotations

from typing import Any

import torch
from mmdet.models.dense_heads.anchor_head import anchor_inside_flags
from mmdet.models.task_modules.samplers import PseudoSampler
from mmdet.models.utils import images_to_levels
from mmdet.structures.bbox import get_box_tensor
from torch import Tensor

from .batch_assigner import assign_images, batch_assignment


class BatchTargetsMixin:
    """Makes the targets of an AnchorHead for all images at once, equal to the head's own.

    Images of different sizes are assigned group by group, all of one size together. The host waits
    for the device once; without ``reg_decoded_bbox`` once more a group.

    Stands before an MMDetection head in the bases of a class. Where the assigner is not exactly
    MaxIoUAssigner or ATSSAssigner, samples are drawn, or ignored boxes count, the head goes image
    by image as it always did.

    Attributes:
        gives_anchors: Whether ``get_targets`` hands back anchors first, as ATSSHead's does.
    """

    gives_anchors = False

    def get_targets(
        self,
        anchor_list: list[list[Tensor]],
        valid_flag_list: list[list[Tensor]],
        batch_gt_instances: list,
        batch_img_metas: list[dict],
        batch_gt_instances_ignore: list | None = None,
        unmap_outputs: bool = True,
        **kwargs: Any,
    ) -> tuple:
        """Assign targets, with the arguments and results of the parent head."""
        args = (anchor_list, valid_flag_list, batch_gt_instances, batch_img_metas)
        found = batch_assignment(getattr(self, 'assigner', None))
        if (
            found is None
            or kwargs
            or not unmap_outputs
            or type(self.sampler) is not PseudoSampler
            or (found[0].ignore_iof_thr > 0 and _has_boxes(batch_gt_instances_ignore))
            or not _share_anchors(anchor_list)
        ):
            return super().get_targets(*args, batch_gt_instances_ignore, unmap_outputs, **kwargs)
        sizes = [len(anchors) for anchors in anchor_list[0]]
        anchors = torch.cat(anchor_list[0])
        columns: list[list[Tensor]] = [[] for _ in batch_img_metas]
        groups = _alike(batch_img_metas)
        border = self.train_cfg['allowed_border']
        insides = [
            anchor_inside_flags(
                anchors,
                torch.cat(valid_flag_list[images[0]]),
                batch_img_metas[images[0]]['img_shape'][:2],
                border,
            )
            for images in groups
        ]
        # The one look at the device: how many anchors each level has inside.
        counts = torch.stack([part.sum() for inside in insides for part in inside.split(sizes)])
        counts = counts.view(len(groups), -1)
        for images, inside, levels in zip(groups, insides, counts.tolist(), strict=True):
            instances = [batch_gt_instances[image] for image in images]
            targets = self._targets_of(anchors, inside, levels, instances)
            for place, image in enumerate(images):
                columns[image] = [part[place] for part in targets]
        results = [images_to_levels(list(column), sizes) for column in zip(*columns, strict=True)]
        num_pos = sum((weights[:, :, 0] > 0).sum(1) for weights in results[-1])
        avg_factor = num_pos.clamp(min=1).sum()
        if not self.gives_anchors:
            return (*results[1:], avg_factor)
        return (*results, int(avg_factor))  # ATSSHead makes a tensor of it

    def _targets_of(
        self, anchors: Tensor, inside: Tensor, levels: list[int], instances: list
    ) -> tuple[Tensor, ...]:
        """Return anchors, labels, their weights, box targets and their weights of some images."""
        if not sum(levels):
            raise ValueError(
                'There is no valid anchor inside the image boundary. Please check the image size '
                'and anchor sizes, or set allowed_border to -1 to skip the condition.'
            )
        all_inside = sum(levels) == len(anchors)
        if not all_inside:
            # Sorted, and not found, because the host knows their number: no wait for the device.
            index = torch.argsort(inside.logical_not().byte(), stable=True)[: sum(levels)]
        priors = anchors if all_inside else anchors.index_select(0, index)
        boxes = [get_box_tensor(part.bboxes) for part in instances]
        assigned, padded = assign_images(*self._assignment(), priors, levels, boxes)
        labels = torch.nn.utils.rnn.pad_sequence([part.labels for part in instances], True)
        targets = self._targets_from(assigned, padded, labels, priors)
        if all_inside:
            return (anchors.expand(len(boxes), -1, -1), *targets)
        fills = (0, self.num_classes, 0, 0, 0)
        return tuple(
            _spread(part, index, len(anchors), fill)
            for part, fill in zip((priors.expand(len(boxes), -1, -1), *targets), fills, strict=True)
        )

    def _assignment(self) -> tuple:
        found, assign = batch_assignment(self.assigner)
        return found, assign

    def _targets_from(
        self, assigned: Tensor, boxes: Tensor, box_labels: Tensor, priors: Tensor
    ) -> tuple[Tensor, ...]:
        """Return labels, label weights, box targets and box weights, one row an image."""
        positive = assigned > 0
        labels = torch.full_like(assigned, self.num_classes)
        targets = priors.new_zeros(*assigned.shape, 4)
        if boxes.size(1):
            owner = (assigned - 1).clamp_(min=0)
            labels = torch.where(positive, box_labels.gather(1, owner), self.num_classes)
            own_boxes = boxes.gather(1, owner[:, :, None].expand(-1, -1, 4))
            if self.reg_decoded_bbox:
                targets = torch.where(positive[:, :, None], own_boxes, 0)
            else:
                places = positive.nonzero(as_tuple=True)
                own = self.bbox_coder.encode(priors[places[1]], own_boxes[places])
                targets[places] = own
        pos_weight = self.train_cfg['pos_weight']
        label_weights = (assigned == 0).to(priors.dtype)
        label_weights.masked_fill_(positive, 1.0 if pos_weight <= 0 else pos_weight)
        box_weights = positive[:, :, None].to(priors.dtype).expand(-1, -1, 4)
        return labels, label_weights, targets, box_weights


def _has_boxes(batch_gt_instances_ignore: list | None) -> bool:
    return any(part is not None and len(part.bboxes) for part in batch_gt_instances_ignore or ())


def _share_anchors(anchor_list: list[list[Tensor]]) -> bool:
    first = anchor_list[0]
    return all(isinstance(level, Tensor) for level in first) and all(
        own is other for anchors in anchor_list for own, other in zip(anchors, first, strict=True)
    )


def _alike(batch_img_metas: list[dict]) -> list[list[int]]:
    """Put together images whose anchors are valid in the same places."""
    groups: dict[tuple, list[int]] = {}
    for image, meta in enumerate(batch_img_metas):
        groups.setdefault((meta['pad_shape'][:2], meta['img_shape'][:2]), []).append(image)
    return list(groups.values())


def _spread(part: Tensor, index: Tensor, num_anchors: int, fill: float) -> Tensor:
    """Put what is said of the anchors inside where these stand among all, (images, n, ...)."""
    whole = part.new_full((len(part), num_anchors, *part.shape[2:]), fill)
    return whole.index_copy_(1, index, part)
