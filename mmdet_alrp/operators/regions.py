"""RoIAlign and RoIPool, as mmcv calls them; outputs and gradients go into given tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from .library import KERNELS, widen

AVERAGE = 1  # mmcv's number of pool_mode='avg'


def check_mode(pool_mode: int) -> None:
    """Raise if the bins are not averaged, which is all that torchvision does."""
    if pool_mode != AVERAGE:
        raise NotImplementedError(
            "RoIAlign on torchvision has only pool_mode='avg'; 'max' needs an mmcv with compiled "
            'operators'
        )


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Average bilinear samples in the bins of each box.

    Args:
        input: Features, shape (batch, channels, height, width).
        rois: Image index and corners of each box, shape (n, 5).
        output: Result, shape (n, channels, aligned_height, aligned_width).
        argmax_y: Not used; belongs to ``pool_mode='max'``.
        argmax_x: Not used.
        aligned_height: Bins from top to bottom.
        aligned_width: Bins from left to right.
        spatial_scale: Factor from the boxes' coordinates to the features'.
        sampling_ratio: Samples a bin and direction; 0 takes as many as the bin has pixels.
        pool_mode: 1, the average.
        aligned: Whether pixel centres lie at .5 (shift of half a pixel).

    Raises:
        NotImplementedError: If ``pool_mode`` is not 1.
    """
    check_mode(pool_mode)
    bins = (spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned)
    output.copy_(KERNELS.roi_align(*widen(input, rois), *bins))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Add the gradient on the features to ``grad_input``; arguments as in the forward pass."""
    check_mode(pool_mode)
    bins = (spatial_scale, aligned_height, aligned_width)
    grad_output, rois = widen(grad_output, rois)
    grad_input += KERNELS._roi_align_backward(
        grad_output, rois, *bins, *grad_input.shape, sampling_ratio, aligned
    )


def split_into_bins(
    rois: Tensor, pooled: tuple[int, int], spatial_scale: float, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Return every bin of every box as a box of its own, in whole pixels.

    torchvision rounds a box to pixels before it splits it, mmcv only its bins. So torchvision gets
    mmcv's bins, each to be pooled to one value.

    Args:
        rois: Image index and corners, shape (n, 5).
        pooled: Bins from top to bottom and from left to right.
        spatial_scale: Factor from the boxes' coordinates to the features'.
        size: Height and width of the features.

    Returns:
        Boxes of the bins, shape (n * rows * columns, 5), the last pixel included, and whether each
        is empty, shape (n, 1, rows, columns).
    """
    edges = []
    for axis in (1, 0):  # y, x
        count = pooled[1 - axis]
        low = rois[:, 1 + axis] * spatial_scale
        extent = (rois[:, 3 + axis] + 1) * spatial_scale - low
        step = (extent / count)[:, None]
        index = torch.arange(count, device=rois.device, dtype=rois.dtype)
        start = (index * step + low[:, None]).floor().clamp(0, size[1 - axis])
        stop = ((index + 1) * step + low[:, None]).ceil().clamp(0, size[1 - axis])
        stop = torch.where((extent > 0)[:, None], stop, start)
        edges.append((start, stop))
    (top, bottom), (left, right) = edges
    shape = (len(rois), *pooled)
    corners = (left[:, None, :], top[:, :, None], right[:, None, :] - 1, bottom[:, :, None] - 1)
    bins = torch.stack([rois[:, :1, None].expand(shape), *(c.expand(shape) for c in corners)], -1)
    is_empty = (bottom <= top)[:, :, None] | (right <= left)[:, None, :]
    return bins.flatten(0, 2), is_empty[:, None]


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Take the maximum in the bins of each box; 0 in an empty bin.

    Args:
        input: Features, shape (batch, channels, height, width).
        rois: Image index and corners of each box, shape (n, 5).
        output: Result, shape (n, channels, pooled_height, pooled_width).
        argmax: Pixel of each maximum, counted row by row, -1 in an empty bin; shape as ``output``.
        pooled_height: Bins from top to bottom.
        pooled_width: Bins from left to right.
        spatial_scale: Factor from the boxes' coordinates to the features'.
    """
    features, rois = widen(input, rois)
    pooled = (pooled_height, pooled_width)
    bins, is_empty = split_into_bins(rois, pooled, spatial_scale, tuple(input.shape[2:]))
    values, places = KERNELS.roi_pool(features, bins, 1.0, 1, 1)
    shape = (len(rois), *pooled, input.size(1))
    values = values.view(shape).permute(0, 3, 1, 2)
    places = places.view(shape).permute(0, 3, 1, 2)
    output.copy_(values.masked_fill(is_empty, 0))
    argmax.copy_(places.masked_fill(is_empty, -1))


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Add each bin's gradient to the pixel of its maximum; arguments as in the forward pass."""
    channels, height, width = grad_input.shape[1:]
    channel = torch.arange(channels, device=rois.device)[:, None, None]
    plane = rois[:, 0].long()[:, None, None, None] * channels + channel
    target = plane * (height * width) + argmax.clamp(min=0)
    share = grad_output.masked_fill(argmax < 0, 0)
    grad_input.view(-1).index_add_(0, target.flatten(), share.flatten())
