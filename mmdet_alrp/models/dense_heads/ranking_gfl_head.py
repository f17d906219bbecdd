"""The head of Generalized Focal Loss, its quality focal loss replaced by a ranking loss."""

from __future__ import annotations

from typing import Any

from mmdet.models.dense_heads import GFLHead
from mmdet.registry import MODELS

from .ranking_head_mixin import RankingHeadMixin


@MODELS.register_module()
class RankingGFLHead(RankingHeadMixin, GFLHead):
    """GFLHead with a ranking over all anchors, classes, levels and images of a batch.

    The ranking loss takes the place of the quality focal loss. The distribution focal loss stays
    as it is; it weighs each box by its largest class score.

    Args:
        *args: Positional arguments of MMDetection's ``GFLHead``.
        reg_decoded_bbox: Must be True; the head compares boxes whatever its parent's option says.
        **kwargs: Keyword arguments of ``GFLHead``; ``loss_cls`` is a ranking loss.

    Raises:
        ValueError: If ``reg_decoded_bbox`` is False.
    """

    def __init__(self, *args: Any, reg_decoded_bbox: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, reg_decoded_bbox=reg_decoded_bbox, **kwargs)
        if not reg_decoded_bbox:
            raise ValueError('RankingGFLHead compares boxes: set reg_decoded_bbox=True')
