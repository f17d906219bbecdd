"""Unwraps a model that MMEngine has wrapped."""

from __future__ import annotations

from mmengine.model import BaseTTAModel, is_model_wrapper
from torch import nn


def bare_detector(model: nn.Module) -> nn.Module:
    """Return what is inside the wrappers of several processes and test-time augmentation.

    Args:
        model: A detector or segmentation net, wrapped or not.
    """
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model
