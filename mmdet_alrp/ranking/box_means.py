"""The weighted mean of a box loss over the positives of each ranking."""

from __future__ import annotations

import torch
from torch import Tensor

from .collectives import sum_over_processes
from .options import RankingOptions


def weighted_box_mean(
    box_losses: Tensor,
    weights: Tensor,
    options: RankingOptions,
    pos_images: Tensor | None = None,
) -> Tensor:
    """Return ``sum_k w_k v_k / sum_k w_k`` of one ranking, or its mean over the images.

    Args:
        box_losses: v_k of the positives of this process, shape (num_local,); gets a gradient.
        weights: w_k >= 0, taken as constants, shape (num_local,).
        options: Says what is one ranking: everything, an image (one without a positive counts 0),
            or what all processes of ``options.group`` have; these must all call the function.
        pos_images: Image of each positive, integer, shape (num_local,); for a ranking an image.

    Returns:
        The mean, a scalar; 0 where there is no weight. Over processes it is the value of all, and
        its gradient the part of this process.
    """
    weights = weights.detach().to(box_losses.dtype)
    smallest = torch.finfo(weights.dtype).tiny
    if options.images is not None:
        rows = pos_images.long()
        totals = weights.new_zeros(options.num_images).index_add(0, rows, weights)
        shares = weights / totals.clamp(min=smallest)[rows] / options.num_images
        return (shares * box_losses).sum()
    total = weights.sum()
    if not options.over_processes:
        return (weights / total.clamp(min=smallest) * box_losses).sum()
    total = sum_over_processes(total, options.group)
    mine = (weights / total.clamp(min=smallest) * box_losses).sum()
    return mine + (sum_over_processes(mine.detach(), options.group) - mine.detach())
