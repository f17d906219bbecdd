"""Options of a ranking."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RankingOptions:
    """Options of a ranking: over what it runs, and how errors are shared among negatives.

    Attributes:
        error_skew: Exponent g >= 0 of ``p(j | i) ~ sigmoid(s_j)^g H(x_ij)``. 0 is the published
            uniform distribution; the larger, the more of an error falls to negatives of high score.
        images: Image of each logit, integer, shape (n,), for one ranking an image; None is one
            ranking over all logits.
        num_images: Number of images, for one ranking an image.
        group: Processes that rank together: a process group or True for the default one; None
            or False ranks each process on its own.
    """

    error_skew: float = 0.0
    images: Tensor | None = None
    num_images: int | None = None
    group: torch.distributed.ProcessGroup | bool | None = None

    @property
    def over_processes(self) -> bool:
        """Whether several processes rank together."""
        return self.group is not None and self.group is not False
