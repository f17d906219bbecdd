"""RetinaNet's head with the ATSS assigner and its own losses: the baseline of the ranking heads."""

from __future__ import annotations

from mmdet.models.dense_heads import RetinaHead
from mmdet.registry import MODELS

from .level_assigner import LevelAssignerMixin


@MODELS.register_module()
class RetinaATSSHead(LevelAssignerMixin, RetinaHead):
    """RetinaHead that can be given an ATSSAssigner; its arguments and losses are RetinaHead's."""
