"""The functions by the names under which mmcv looks for them in its extension."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NoReturn

from .deformable_attention import ms_deform_attn_backward, ms_deform_attn_forward
from .deformable_convolutions import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from .focal_losses import (
    sigmoid_focal_loss_backward,
    sigmoid_focal_loss_forward,
    softmax_focal_loss_backward,
    softmax_focal_loss_forward,
)
from .library import get_compiler_version, get_compiling_cuda_version
from .regions import roi_align_backward, roi_align_forward, roi_pool_backward, roi_pool_forward
from .suppression import nms, nms_match, softnms

OPERATORS = {
    function.__name__: function
    for function in (
        deform_conv_backward_input,
        deform_conv_backward_parameters,
        deform_conv_forward,
        get_compiler_version,
        get_compiling_cuda_version,
        modulated_deform_conv_backward,
        modulated_deform_conv_forward,
        ms_deform_attn_backward,
        ms_deform_attn_forward,
        nms,
        nms_match,
        roi_align_backward,
        roi_align_forward,
        roi_pool_backward,
        roi_pool_forward,
        sigmoid_focal_loss_backward,
        sigmoid_focal_loss_forward,
        softmax_focal_loss_backward,
        softmax_focal_loss_forward,
        softnms,
    )
}


def find_operator(name: str) -> Callable:
    """Return the function of that name, or one that raises when it is called.

    mmcv asks for all of its operators at import and calls few of them.

    Args:
        name: Name of a function in mmcv's extension.

    Raises:
        AttributeError: If it is a private name, for which Python itself asks.
    """
    if name.startswith('_'):
        raise AttributeError(f'the operators of mmcv have no {name}')
    return OPERATORS.get(name) or partial(refuse, name)


def refuse(name: str, *_: object, **__: object) -> NoReturn:
    """Raise NotImplementedError: the operator is not among ours."""
    raise NotImplementedError(
        f"mmcv's operator {name} is not among those on torchvision: it needs an mmcv with compiled "
        'operators, see "GPU" in docs/install.md of mmdet_alrp'
    )
