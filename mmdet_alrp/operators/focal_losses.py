"""Sigmoid and softmax focal loss, as mmcv calls them; results go into given tensors."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from .library import widen


def class_weights(weight: Tensor, target: Tensor) -> Tensor:
    """Return each row's class weight, shape (n,); 1 without weights and for the background."""
    if not weight.numel():
        return weight.new_ones(1)
    return functional.pad(weight, (0, 1), value=1)[target]


def split_classes(input: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Return the logits in float32 or better, and which entry is of its row's class."""
    (logits,) = widen(input)
    classes = torch.arange(input.size(1), device=input.device)
    return logits, target[:, None] == classes


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write the focal loss of every class on its own.

    Args:
        input: Logits, shape (n, classes).
        target: Class indices, int64, shape (n,); ``classes`` is the background.
        weight: Weights of the classes, or no elements.
        output: Loss, shape (n, classes).
        gamma: Exponent of the focusing factor.
        alpha: Weight of the positive entries; the others have 1 - alpha.
    """
    logits, is_class = split_classes(input, target)
    probs = logits.sigmoid()
    positive = -alpha * (1 - probs) ** gamma * functional.logsigmoid(logits)
    negative = -(1 - alpha) * probs**gamma * functional.logsigmoid(-logits)
    loss = torch.where(is_class, positive, negative)
    output.copy_(loss * class_weights(weight, target)[:, None])


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Write the derivative of each entry's loss; arguments as in the forward pass."""
    logits, is_class = split_classes(input, target)
    probs = logits.sigmoid()
    positive = (1 - probs) ** gamma * (1 - probs - gamma * probs * functional.logsigmoid(logits))
    negative = probs**gamma * (gamma * (1 - probs) * functional.logsigmoid(-logits) - probs)
    grad = torch.where(is_class, -alpha * positive, -(1 - alpha) * negative)
    grad_input.copy_(grad * class_weights(weight, target)[:, None])


def own_class(probs: Tensor, target: Tensor) -> Tensor:
    """Return the probability of each row's class, away from 0 so that it has a logarithm."""
    chosen = probs.gather(1, target.clamp(min=0)[:, None]).squeeze(1)
    return chosen.clamp(min=torch.finfo(chosen.dtype).tiny)


def softmax_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Write the focal loss of each row's class.

    Args:
        input: Probabilities after the softmax, shape (n, classes).
        target: Class indices, int64, shape (n,); a negative one is ignored.
        weight: Weights of the classes, or no elements.
        output: Loss, shape (n,).
        gamma: Exponent of the focusing factor.
        alpha: Factor of the whole loss.
    """
    (probs,) = widen(input)
    chosen = own_class(probs, target)
    loss = -alpha * (1 - chosen) ** gamma * chosen.log() * class_weights(weight, target)
    output.copy_(loss.masked_fill(target < 0, 0))


def softmax_focal_loss_backward(
    input: Tensor,
    target: Tensor,
    weight: Tensor,
    buff: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Write the derivative in the logits; ``buff`` gets each row's factor, shape (n,)."""
    probs, is_class = split_classes(input, target)
    chosen = own_class(probs, target)
    focus = gamma * (1 - chosen) ** (gamma - 1) * chosen * chosen.log() - (1 - chosen) ** gamma
    factor = alpha * focus * class_weights(weight, target)
    buff.copy_(factor.masked_fill(target < 0, 0))
    grad_input.copy_(buff[:, None] * (is_class.to(probs.dtype) - probs))
