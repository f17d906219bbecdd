"""FoveaBox's head, trained by a ranking loss."""

from __future__ import annotations

from typing import Any

from mmdet.models.dense_heads import FoveaHead
from mmdet.registry import MODELS
from torch import Tensor, cat

from .ranking_head_mixin import RankingHeadMixin


@MODELS.register_module()
class RankingFoveaHead(RankingHeadMixin, FoveaHead):
    """FoveaHead with a ranking over all points, classes, levels and images of a batch.

    Args:
        *args: Positional arguments of MMDetection's ``FoveaHead``.
        reg_decoded_bbox: Compare boxes, as losses of the IoU need it; False compares the
            logarithms of the distances, as Smooth L1 does in the original FoveaBox.
        **kwargs: Keyword arguments of ``FoveaHead``, with a ranking loss as ``loss_cls``.
    """

    def __init__(self, *args: Any, reg_decoded_bbox: bool = True, **kwargs: Any) -> None:
        self.reg_decoded_bbox = reg_decoded_bbox
        super().__init__(*args, **kwargs)

    def boxes_for_loss(
        self, bbox_pred: Tensor, bbox_targets: Tensor, priors: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Decode predictions and targets to boxes.

        The boxes lie around the origin and are in units of the level's base edge: IoU and its
        relatives do not change with place and scale.

        Args:
            bbox_pred: Logarithms of the distances to the sides, shape (num_pos, 4).
            bbox_targets: Logarithms of the true distances, shape (num_pos, 4).
            priors: Not needed.

        Returns:
            Boxes (x1, y1, x2, y2) and their targets; without ``reg_decoded_bbox`` what was given.
        """
        if not self.reg_decoded_bbox:
            return bbox_pred, bbox_targets
        return _boxes_around_origin(bbox_pred), _boxes_around_origin(bbox_targets)


def _boxes_around_origin(log_distances: Tensor) -> Tensor:
    """Return boxes from the logarithms of the distances of the origin to their sides."""
    distances = log_distances.exp()
    return cat([-distances[:, :2], distances[:, 2:]], dim=1)
