"""The maps of all classes as a module with two tensors; torch only."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .calibrators import Knots

SMALLEST = torch.finfo(torch.float32).tiny  # width of a segment between two equal knots


class ScoreMap(nn.Module):
    """Maps scores to expected IoUs, class by class.

    Its buffers ``scores`` and ``ious``, shape (num_classes, num_knots), are the knots of the
    classes, in the order of the labels; shorter rows repeat their last knot. They are in the
    ``state_dict``, and in graphs of TorchScript and ONNX. A higher score never gets a lower IoU,
    in any precision.

    Args:
        knots: Of each class, in the order of the labels.
    """

    scores: Tensor
    ious: Tensor

    def __init__(self, knots: Sequence[Knots]) -> None:
        super().__init__()
        for name in ('scores', 'ious'):
            rows = [torch.tensor(getattr(each, name), dtype=torch.float32) for each in knots]
            longest = max(map(len, rows))
            padded = [torch.cat([row, row[-1:].expand(longest - len(row))]) for row in rows]
            self.register_buffer(name, torch.stack(padded))

    def forward(self, scores: Tensor, labels: Tensor | None = None) -> Tensor:
        """Return expected IoUs.

        Args:
            scores: In [0, 1], shape (..., num_classes), or (n,) with ``labels``.
            labels: Class indices of the scores, shape (n,).

        Returns:
            In [0, 1], of the shape and dtype of ``scores``.
        """
        knots, ious = self.scores, self.ious
        if labels is not None:
            knots, ious = knots[labels], ious[labels]
        widths = (knots[..., 1:] - knots[..., :-1]).clamp(min=SMALLEST)
        rises = ious[..., 1:] - ious[..., :-1]
        values = scores.to(torch.promote_types(scores.dtype, knots.dtype))
        mapped = ious[..., 0]
        # A segment at a time: all at once would take the memory of the scores for each of them.
        # Every term and every sum rises with the score, also when it is rounded.
        for k in range(knots.shape[-1] - 1):
            share = ((values - knots[..., k]) / widths[..., k]).clamp(0.0, 1.0)
            mapped = mapped + rises[..., k] * share
        return mapped.clamp(0.0, 1.0).to(scores.dtype)

    def map_channels(self, scores: Tensor) -> Tensor:
        """Return expected IoUs of all anchors of a level, for exported graphs.

        Args:
            scores: In [0, 1], as a dense head orders them: shape (n, anchors * num_classes, height,
                width).

        Returns:
            Of the same shape.
        """
        by_class = scores.unflatten(1, (-1, len(self.scores))).movedim(2, -1)
        return self(by_class).movedim(-1, 2).flatten(1, 2)

    def lowest_score(self, iou: float) -> float:
        """Return the highest score below which every class expects less than an IoU.

        Args:
            iou: In [0, 1].
        """
        reached = self.ious >= iou
        after = reached.int().argmax(dim=1).clamp(min=1)[:, None]  # the knot
        low, high = self.scores.gather(1, after - 1), self.scores.gather(1, after)
        start, end = self.ious.gather(1, after - 1), self.ious.gather(1, after)
        share = ((iou - start) / (end - start).clamp(min=SMALLEST)).clamp(0.0, 1.0)
        scores = torch.where(reached.any(dim=1, keepdim=True), low + share * (high - low), 1.0)
        return float(scores.min())
