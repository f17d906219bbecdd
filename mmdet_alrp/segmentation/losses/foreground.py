"""Predictions of a foreground, of one channel or of two under a softmax."""

from __future__ import annotations

from torch import Tensor


def foreground_logits(pred: Tensor, name: str) -> Tensor:
    """Return the foreground's logits, (N, ...), of one channel or of two under a softmax.

    Args:
        pred: Logits, shape (N, 1, ...) or (N, 2, ...): background, then foreground.
        name: Loss that asks, for the message.

    Raises:
        ValueError: If there are more channels.
    """
    check_foreground(pred, name)
    # The softmax of two logits is the sigmoid of their difference.
    return pred[:, 0] if pred.shape[1] == 1 else pred[:, 1] - pred[:, 0]


def check_foreground(pred: Tensor, name: str) -> None:
    """Refuse, with the name of the loss, a prediction of more than two channels.

    Args:
        pred: Logits, shape (N, C, ...).
        name: Loss that asks, for the message.

    Raises:
        ValueError: If there are more.
    """
    if pred.shape[1] > 2:
        raise ValueError(
            f'{name} needs one channel, or background and foreground, got {pred.shape[1]} channels'
        )
