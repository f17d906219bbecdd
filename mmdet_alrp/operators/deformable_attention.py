"""Multi-scale deformable attention, as mmcv calls it on a GPU, in plain PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def ms_deform_attn_forward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Sum weighted bilinear samples of several feature maps.

    The sizes of the maps are read on the host: one wait for the device in each call.

    Args:
        value: Features of all maps, shape (batch, pixels, heads, channels).
        spatial_shapes: Height and width of each map, int64, shape (levels, 2).
        level_start_index: Not used; follows from ``spatial_shapes``.
        sampling_locations: x and y in [0, 1] of a map, shape (batch, queries, heads, levels,
            points, 2).
        attention_weights: Shape (batch, queries, heads, levels, points).
        im2col_step: Not used.

    Returns:
        Shape (batch, queries, heads * channels).
    """
    sizes = spatial_shapes.tolist()
    batch, queries, heads, levels, points = attention_weights.shape
    maps = value.split([height * width for height, width in sizes], dim=1)
    grid = (2 * sampling_locations - 1).permute(3, 0, 2, 1, 4, 5).flatten(1, 2)
    samples = [
        functional.grid_sample(
            features.permute(0, 2, 3, 1).reshape(batch * heads, -1, *size),
            locations,
            align_corners=False,
        )
        for features, size, locations in zip(maps, sizes, grid, strict=True)
    ]
    weights = attention_weights.transpose(1, 2).reshape(batch * heads, 1, queries, levels * points)
    summed = (torch.cat(samples, dim=-1) * weights).sum(-1)
    return summed.view(batch, -1, queries).transpose(1, 2).to(value.dtype).contiguous()


def ms_deform_attn_backward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Add the gradients on values, locations and weights; arguments as in the forward pass."""
    inputs = [
        tensor.detach().requires_grad_()
        for tensor in (value, sampling_locations, attention_weights)
    ]
    with torch.enable_grad():
        output = ms_deform_attn_forward(
            inputs[0], spatial_shapes, level_start_index, *inputs[1:], im2col_step
        )
    grads = torch.autograd.grad(output, inputs, grad_output)
    for total, grad in zip((grad_value, grad_sampling_loc, grad_attn_weight), grads, strict=True):
        total += grad
