"""Gives assigners that work level by level the level sizes that AnchorHead does not pass on."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from mmdet.models.dense_heads.anchor_head import anchor_inside_flags
from torch import Tensor


def needs_levels(assigner: Any) -> bool:
    """Tell whether ``assigner.assign`` wants to know how many priors each level has."""
    return 'num_level_priors' in inspect.signature(assigner.assign).parameters


class LevelAssigner:
    """An assigner such as ATSSAssigner behind the interface of one such as MaxIoUAssigner.

    MMDetection's AnchorHead hands its assigner (priors, ground truth, ignored ground truth).
    ATSSAssigner takes the level sizes in second place; called that way it finds the ground truth
    there, takes the empty list of ignored boxes for the ground truth and assigns no positive.

    Args:
        assigner: The assigner to call.

    Attributes:
        num_level_priors: Number of priors of each level in the next image, set by the head.
    """

    def __init__(self, assigner: Any) -> None:
        self.assigner = assigner
        self.num_level_priors: list[int] = []

    def assign(
        self, pred_instances: Any, gt_instances: Any, gt_instances_ignore: Any = None
    ) -> Any:
        """Assign the priors of one image, level by level; arguments as of MaxIoUAssigner."""
        return self.assigner.assign(
            pred_instances, self.num_level_priors, gt_instances, gt_instances_ignore
        )


class LevelAssignerMixin:
    """Lets an AnchorHead use assigners that work level by level, such as ATSSAssigner.

    Stands before an MMDetection head in the bases of a class. Other assigners stay as they are.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Inference builds heads without train_cfg, and so without an assigner.
        if self.train_cfg and needs_levels(self.assigner):
            self.assigner = LevelAssigner(self.assigner)
        self._num_level_anchors: list[int] = []

    def get_targets(self, anchor_list: list[list[Tensor]], *args: Any, **kwargs: Any) -> tuple:
        """Assign targets as the parent does, with the sizes of the levels at hand."""
        self._num_level_anchors = [len(anchors) for anchors in anchor_list[0]]
        return super().get_targets(anchor_list, *args, **kwargs)

    def _get_targets_single(
        self,
        flat_anchors: Tensor,
        valid_flags: Tensor,
        gt_instances: Any,
        img_meta: dict,
        *args: Any,
        **kwargs: Any,
    ) -> tuple:
        if isinstance(self.assigner, LevelAssigner):
            inside = anchor_inside_flags(
                flat_anchors,
                valid_flags,
                img_meta['img_shape'][:2],
                self.train_cfg['allowed_border'],
            )
            levels = inside.split(self._num_level_anchors)
            # The assigner splits tensors by these numbers: the host must know them. Read together
            # they cost one wait for the device an image.
            counts = torch.stack([level.sum() for level in levels])
            self.assigner.num_level_priors = counts.tolist()
        return super()._get_targets_single(
            flat_anchors, valid_flags, gt_instances, img_meta, *args, **kwargs
        )
