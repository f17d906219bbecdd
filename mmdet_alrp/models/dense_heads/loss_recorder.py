"""Records what a head passes to its losses, instead of computing them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from torch import Tensor, cat, nn


class Call(NamedTuple):
    """One call of a loss by MMDetection's convention.

    Attributes:
        pred: Predictions, one row a prior.
        target: What they should be; some heads add a second tensor, such as a quality.
        weight: Weight of each row, if the head gave any.
        priors: Priors that ``pred`` is still to be decoded with, from heads of this package.
    """

    pred: Tensor
    target: Tensor | tuple[Tensor, ...]
    weight: Tensor | None
    priors: Tensor | None


class LossRecorder(nn.Module):
    """Replaces a loss while a head's own loss code runs, and records its calls.

    A call returns a zero without a graph. Whatever else the head asks the loss for
    (``use_sigmoid``, ``get_accuracy``) comes from the loss itself.

    Args:
        loss: The loss that it replaces.
    """

    def __init__(self, loss: nn.Module) -> None:
        super().__init__()
        self.loss = loss
        self.calls: list[Call] = []

    def __getattr__(self, name: str) -> Any:
        """Ask the loss for what the recorder does not have."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__('loss'), name)

    def forward(
        self,
        pred: Tensor,
        target: Tensor | tuple[Tensor, ...],
        weight: Tensor | None = None,
        *args: Any,
        priors: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Record a call; averaging factors and reductions are of no use to a ranking."""
        self.calls.append(Call(pred, target, weight, priors))
        return pred.new_zeros(())


@contextmanager
def replaced(head: nn.Module, **modules: nn.Module) -> Iterator[None]:
    """Replace some modules of a head inside of a ``with`` block.

    Args:
        head: The head; it has its own modules again afterwards.
        **modules: Replacements by the name of the attribute.
    """
    own = {name: getattr(head, name) for name in modules}
    try:
        for name, module in modules.items():
            setattr(head, name, module)
        yield
    finally:
        for name, module in own.items():
            setattr(head, name, module)


@contextmanager
def recording(
    head: nn.Module, box_loss: str = 'loss_bbox'
) -> Iterator[tuple[LossRecorder, LossRecorder]]:
    """Record the calls of ``loss_cls`` and the box loss of a head inside of a ``with`` block.

    Args:
        head: The head; it has its own losses again afterwards.
        box_loss: Name of the box loss that the ranking weighs.

    Yields:
        The recorders of ``loss_cls`` and of the box loss.
    """
    recorders = LossRecorder(head.loss_cls), LossRecorder(getattr(head, box_loss))
    with replaced(head, loss_cls=recorders[0], **{box_loss: recorders[1]}):
        yield recorders


class RecordedBatch(NamedTuple):
    """Predictions and targets of all priors of a batch, as the ranking sees them.

    Attributes:
        cls_score: Logits, shape (num_priors, num_classes).
        labels: Class index of a positive prior, ``num_classes`` otherwise, shape (num_priors,).
        label_weights: 0 for a prior that takes no part, shape (num_priors,).
        bbox_pred: Box predictions of all priors or of the positive ones in their order; None if
            the head handed none to its box loss.
        bbox_targets: Box targets, rows as in ``bbox_pred``.
        priors: What the box coder is still to decode ``bbox_pred`` with, rows as there; None if
            ``bbox_pred`` is ready for the box loss.
        images: Index of the image of each prior, shape (num_priors,); only for a ranking an image.
        num_images: Number of images in the batch.
    """

    cls_score: Tensor
    labels: Tensor
    label_weights: Tensor
    bbox_pred: Tensor | None = None
    bbox_targets: Tensor | None = None
    priors: Tensor | None = None
    images: Tensor | None = None
    num_images: int = 1


def join_records(cls_recorder: LossRecorder, box_recorder: LossRecorder) -> RecordedBatch:
    """Join the recorded calls of both losses.

    Args:
        cls_recorder: Recorder of ``loss_cls``.
        box_recorder: Recorder of ``loss_bbox``; it need not have been called.

    Returns:
        All priors in the order of the calls; ``images`` is still None.

    Raises:
        ValueError: If the classification loss was not called with logits, class indices and one
            weight a prior.
    """
    if not cls_recorder.calls:
        raise ValueError('a ranking head needs a parent that calls self.loss_cls; it did not')
    parts = []
    for scores, target, weights, _ in cls_recorder.calls:
        labels = target[0] if isinstance(target, tuple) else target
        weights = labels.new_ones(len(labels)) if weights is None else weights
        if scores.dim() != 2 or labels.shape != scores.shape[:1] or weights.shape != labels.shape:
            raise ValueError(
                'a ranking head needs a parent that gives its loss_cls logits (n, num_classes), '
                'class indices (n,) and weights (n,) or none (a score for each class, as of '
                'VarifocalNet and TOOD, names no positive); got shapes '
                f'{tuple(scores.shape)}, {tuple(labels.shape)} and {tuple(weights.shape)}'
            )
        parts.append((scores, labels, weights))
    recorded = RecordedBatch(*(cat(column) for column in zip(*parts, strict=True)))
    if not box_recorder.calls:
        return recorded
    preds, targets, _, priors = zip(*box_recorder.calls, strict=True)
    return recorded._replace(
        bbox_pred=cat(preds),
        bbox_targets=cat(targets),
        priors=None if priors[0] is None else cat(priors),
    )
