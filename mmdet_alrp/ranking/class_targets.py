"""Targets of a classifier: a class index and a weight a row, instead of a target a logit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class ClassTargets:
    """Targets of a classifier's logits as one class index a row; a row is a prior or a proposal.

    Ranking functions take it as ``targets`` for logits of shape (num_rows * num_classes,), the
    flattened rows of the classifier. It needs a fraction of the memory of one target a logit.
    Options that give the image of each logit then give that of each row.

    Args:
        class_indices: Class of a positive row; any other number is a row of negatives, integer,
            shape (num_rows,).
        weights: 0 for a row that takes no part, shape (num_rows,).
        num_classes: Number of logits a row.
        pos_index: Where the positives stand among the logits, ascending, int64, shape (num_pos,).
    """

    class_indices: Tensor
    weights: Tensor
    num_classes: int
    pos_index: Tensor

    @classmethod
    def of(cls, class_indices: Tensor, weights: Tensor, num_classes: int) -> ClassTargets:
        """Make targets and find the positives; waits for the device, to know their number.

        Args:
            class_indices: Class of a positive row; any other number is a row of negatives,
                integer, shape (num_rows,).
            weights: 0 for a row that takes no part, shape (num_rows,).
            num_classes: Number of logits a row.
        """
        is_pos = (class_indices >= 0) & (class_indices < num_classes) & (weights > 0)
        rows = is_pos.nonzero().squeeze(1)
        pos_index = rows * num_classes + class_indices[rows]
        return cls(class_indices, weights, num_classes, pos_index)

    @property
    def pos_rows(self) -> Tensor:
        """Rows of the positives, int64, shape (num_pos,)."""
        return self.pos_index // self.num_classes

    def with_positives(self, kept: Tensor) -> ClassTargets:
        """Make negatives of all rows of positives but some.

        Args:
            kept: Which positives stay such, indices into ``pos_index``, shape (num_kept,).
        """
        rows = self.pos_rows
        indices = self.class_indices.index_fill(0, rows, self.num_classes)
        indices = indices.index_copy(0, rows[kept], self.class_indices[rows[kept]])
        return replace(self, class_indices=indices, pos_index=self.pos_index[kept])

    def flat(self) -> Tensor:
        """Return 1 positive, 0 negative, -1 ignored for each logit, int8."""
        targets = self.class_indices.new_zeros(
            (len(self.class_indices), self.num_classes), dtype=torch.int8
        )
        targets.masked_fill_((self.weights > 0).logical_not_().unsqueeze(1), -1)
        targets = targets.view(-1)
        return targets.index_fill_(0, self.pos_index, 1)

    def of_logits(self, of_rows: Tensor) -> Tensor:
        """Repeat what is said of rows for each of their logits."""
        return of_rows.repeat_interleave(self.num_classes)
