"""Deformable convolutions v1 and v2, as mmcv calls them; results go into given tensors."""

from __future__ import annotations

from torch import Tensor

from .library import KERNELS, widen

# mmcv's keywords in the order of torchvision's arguments.
GEOMETRY_V1 = ('dH', 'dW', 'padH', 'padW', 'dilationH', 'dilationW', 'group', 'deformable_group')
GEOMETRY_V2 = (
    *('stride_h', 'stride_w', 'pad_h', 'pad_w', 'dilation_h', 'dilation_w'),
    *('group', 'deformable_group'),
)


def without_mask(input: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mask and the bias that torchvision wants where there are none."""
    return input.new_zeros(input.size(0), 1), input.new_zeros(weight.size(0))


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    **sizes: int,
) -> None:
    """Convolve at shifted positions.

    Args:
        input: Shape (batch, channels, height, width).
        weight: Shape (out_channels, channels / group, kernel_height, kernel_width).
        offset: Shifts y and x of each kernel position in turn, shape (batch,
            2 * deformable_group * kernel_height * kernel_width, out_height, out_width).
        output: Result, shape (batch, out_channels, out_height, out_width).
        columns: Not used; scratch memory of mmcv's kernel.
        ones: Not used.
        **sizes: Stride, padding, dilation and groups under mmcv's names (``dH``, ``padW``, ...).
    """
    input, weight, offset = widen(input, weight, offset)
    mask, bias = without_mask(input, weight)
    geometry = [sizes[name] for name in GEOMETRY_V1]
    output.copy_(KERNELS.deform_conv2d(input, weight, offset, mask, bias, *geometry, False))


def differentiate(
    grad_output: Tensor, input: Tensor, weight: Tensor, offset: Tensor, sizes: dict[str, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients on input, weight and offset of a convolution without mask."""
    grad_output, input, weight, offset = widen(grad_output, input, weight, offset)
    mask, bias = without_mask(input, weight)
    geometry = [sizes[name] for name in GEOMETRY_V1]
    grads = KERNELS._deform_conv2d_backward(
        grad_output, input, weight, offset, mask, bias, *geometry, False
    )
    return grads[:3]


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **sizes: int,
) -> None:
    """Add the gradient on the input, and write the one on the offsets.

    mmcv asks for the gradient on the weight in a second call, torchvision computes all in one. So
    the latter waits in ``columns``, which mmcv hands to both calls.
    """
    on_input, on_weight, on_offset = differentiate(grad_output, input, weight, offset, sizes)
    grad_input += on_input
    grad_offset.copy_(on_offset)
    columns.resize_(weight.shape).copy_(on_weight)


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    scale: float,
    **sizes: int,
) -> None:
    """Add the gradient on the weight, times ``scale``: the one that waits, else computed here."""
    if columns.shape == grad_weight.shape:
        on_weight = columns
    else:
        _, on_weight, _ = differentiate(grad_output, input, grad_weight, offset, sizes)
    grad_weight.add_(on_weight, alpha=scale)
    columns.resize_(0)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    with_bias: bool,
    **sizes: int,
) -> None:
    """Convolve at shifted positions, each with its own factor.

    Args:
        input: Shape (batch, channels, height, width).
        weight: Shape (out_channels, channels / group, kernel_height, kernel_width).
        bias: Shape (out_channels,); not read without ``with_bias``.
        ones: Not used; scratch memory of mmcv's kernel.
        offset: As in the convolution without factors.
        mask: Factors, shape (batch, deformable_group * kernel_height * kernel_width, out_height,
            out_width).
        output: Result, shape (batch, out_channels, out_height, out_width).
        columns: Not used.
        with_bias: Whether the bias is added.
        **sizes: Stride, padding, dilation and groups under mmcv's names (``stride_h``, ...).
    """
    bias = bias if with_bias else without_mask(input, weight)[1]
    tensors = widen(input, weight, offset, mask, bias)
    geometry = [sizes[name] for name in GEOMETRY_V2]
    output.copy_(KERNELS.deform_conv2d(*tensors, *geometry, True))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    with_bias: bool,
    **sizes: int,
) -> None:
    """Add the gradients on input, weight and bias, and write those on offsets and factors."""
    bias = bias if with_bias else without_mask(input, weight)[1]
    tensors = widen(grad_output, input, weight, offset, mask, bias)
    geometry = [sizes[name] for name in GEOMETRY_V2]
    on_input, on_weight, on_offset, on_mask, on_bias = KERNELS._deform_conv2d_backward(
        *tensors, *geometry, True
    )
    grad_input += on_input
    grad_weight += on_weight
    grad_offset.copy_(on_offset)
    grad_mask.copy_(on_mask)
    if with_bias:
        grad_bias += on_bias
