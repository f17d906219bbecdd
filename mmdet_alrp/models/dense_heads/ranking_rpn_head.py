"""The region proposal network's head, trained by a ranking loss."""

from __future__ import annotations

from typing import Any

from mmdet.models.dense_heads import RPNHead
from mmdet.registry import MODELS
from torch import Tensor

from .batch_targets import BatchTargetsMixin
from .level_assigner import LevelAssignerMixin
from .ranking_anchor_head_mixin import RankingAnchorHeadMixin


@MODELS.register_module()
class RankingRPNHead(RankingAnchorHeadMixin, BatchTargetsMixin, LevelAssignerMixin, RPNHead):
    """RPNHead with a ranking over the anchors of all levels and images of a batch.

    Takes the arguments of MMDetection's ``RPNHead``; ``loss_cls`` is a ranking loss. No sampler is
    needed: ``train_cfg.rpn.sampler=dict(type='PseudoSampler')`` ranks all anchors.
    """

    def loss_by_feat(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """Compute the losses of a batch, with the arguments of RPNHead.

        Returns:
            ``loss_rpn_cls``, ``loss_rpn_bbox``, and what the ranking loss logs with ``rpn_``
            before its name: the second stage logs the same names.
        """
        losses = super().loss_by_feat(*args, **kwargs)
        named = {f'loss_rpn_{part}': losses.pop(f'loss_{part}') for part in ('cls', 'bbox')}
        logged = {f'rpn_{name}': value for name, value in losses.items() if 'loss' not in name}
        return {**named, **logged}
