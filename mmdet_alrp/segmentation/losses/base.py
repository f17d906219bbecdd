"""What the segmentation losses share: MMSegmentation's call and one form of input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmdet_alrp.ranking import at_least_float32

SLACK = 1e-3  # resizing and rounding may carry a soft mask that far beyond 0 and 1


class SegmentationLoss(nn.Module):
    """A segmentation loss as MMSegmentation's decode heads call it; sub-classes write `compute`.

    Convention:
        The result is one number for the whole batch, in float32 or float64; half precision is
        computed in float32, under autocast too. Pixels take no part where the label is the ignored
        one or the caller's weight is 0. Without pixels that take part the loss is 0, and so is its
        gradient.

        Any other label that is none of the classes is a mistake in the data: on a CPU an error,
        elsewhere, where reading it would wait for the device, a loss of NaN with a gradient of 0.
        ``MaskCheckHook`` stops a training before that and names the mask.

    Args:
        loss_weight: Factor on the loss.
        loss_name: Key in the log. MMSegmentation trains with it only if it starts with ``loss_``.
        ignore_index: Label of pixels to leave out, for calls that name none.
    """

    soft_targets = False
    """Whether masks with values between 0 and 1 are understood."""
    spatial_dims: int | None = None
    """How many dimensions of space the loss needs; None takes any."""

    def __init__(
        self,
        loss_weight: float = 1.0,
        loss_name: str = 'loss_segmentation',
        ignore_index: int = 255,
    ) -> None:
        super().__init__()
        self.loss_weight = loss_weight
        self.ignore_index = ignore_index
        self._loss_name = loss_name

    @property
    def loss_name(self) -> str:
        """Key in the log."""
        return self._loss_name

    def forward(
        self,
        pred: Tensor,
        target: Tensor,
        weight: Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
        ignore_index: int | None = None,
    ) -> Tensor:
        """Return the loss of a batch.

        Args:
            pred: Logits, shape (N, C, ...); one channel is the foreground's.
            target: Class indices, integer or bool, shape (N, ...) or (N, 1, ...); 0 and 1 if C is
                1. Losses of a foreground may take floating point masks in [0, 1] as well.
            weight: Weight of each pixel, >= 0, shape as ``target``.
            avg_factor: Must be None: the loss is no sum over pixels.
            reduction_override: None or 'mean': the loss has one value for the batch.
            ignore_index: Label of pixels to leave out, instead of that of the constructor.

        Returns:
            The loss, a scalar.

        Raises:
            ValueError: If shapes disagree, if a sum or one value a pixel is asked for, or, on a
                CPU, if a label is neither a class nor ignored.
            TypeError: If ``pred`` is not floating point, or ``target`` is where it may not be.
        """
        if avg_factor is not None or reduction_override not in (None, 'mean'):
            raise ValueError(
                f'{type(self).__name__} has one value for the batch, none for a pixel: avg_factor '
                f"must be None and reduction_override None or 'mean', got {avg_factor} and "
                f'{reduction_override!r}'
            )
        self._check(pred, target, weight)
        ignored = self.ignore_index if ignore_index is None else ignore_index
        with torch.autocast(pred.device.type, enabled=False):
            pred = at_least_float32(pred)
            if pred.numel() == 0:
                return pred.sum()
            labels, weight, wrong = prepare_target(pred, target, weight, ignored)
            any_wrong = wrong.any()
            if wrong.device.type == 'cpu' and any_wrong:
                found = target.reshape(wrong.shape)[wrong][0].item()
                raise ValueError(self._wrong_label(found, labels, pred.shape[1], ignored))
            loss = self.loss_weight * self.compute(pred, labels, weight)
            return loss.masked_fill(any_wrong, torch.nan)

    def compute(self, pred: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        """Return the loss, a scalar, on checked input with at least one pixel.

        Args:
            pred: Logits, float32 or float64, shape (N, C, ...).
            target: Class indices in [0, C), or 0 and 1 if C is 1, int64, or a floating point mask
                in [0, 1] of the dtype of ``pred``; valid where ignored too. Shape (N, ...).
            weight: Weight of each pixel, 0 where it takes no part, of the dtype of ``pred``, shape
                (N, ...).
        """
        raise TypeError(f'{type(self).__name__} must define compute(pred, target, weight)')

    def _check(self, pred: Tensor, target: Tensor, weight: Tensor | None) -> None:
        name = type(self).__name__
        if not pred.is_floating_point():
            raise TypeError(f'{name}: pred must be floating point, got {pred.dtype}')
        if target.is_complex() or (target.is_floating_point() and not self.soft_targets):
            raise TypeError(f'{name}: target must hold integer class indices, got {target.dtype}')
        dims = self.spatial_dims
        if pred.dim() < 2 or (dims is not None and pred.dim() != 2 + dims):
            form = '(N, C, ...)' if dims is None else f'(N, C) and {dims} dimensions of space'
            raise ValueError(f'{name}: pred must have shape {form}, got {tuple(pred.shape)}')
        shapes = pixel_shapes(pred)
        for key, value in (('target', target), ('weight', weight)):
            if value is not None and value.shape not in shapes:
                raise ValueError(
                    f'{name}: {key} must have shape {tuple(shapes[0])} or {tuple(shapes[1])} '
                    f'with pred of {tuple(pred.shape)}, got {tuple(value.shape)}'
                )

    def _wrong_label(self, found: float, labels: Tensor, channels: int, ignored: int) -> str:
        name, last = type(self).__name__, max(channels, 2) - 1
        soft = labels.is_floating_point()
        return (
            f'{name}: target holds {found:g}, but {"a soft mask" if soft else "a label"} must be '
            f'{"in [0, 1]" if soft else f"in 0 ... {last} with {channels} channels"}, or {ignored} '
            'where it is ignored'
        )


def pixel_shapes(pred: Tensor) -> tuple[torch.Size, torch.Size]:
    """Shapes that a map of the pixels of ``pred``, (N, C, ...), may have: (N, ...), (N, 1, ...)."""
    images, space = pred.shape[:1], pred.shape[2:]
    return images + space, images + (1,) + space  # noqa: RUF005, sizes stay sizes


def prepare_target(
    pred: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return labels that are all valid, the weight of each pixel, and where labels were wrong.

    Args:
        pred: Logits, shape (N, C, ...).
        target: Class indices or a floating point mask, shape (N, ...) or (N, 1, ...).
        weight: Weight of each pixel, shape as ``target``; None is 1 everywhere.
        ignore_index: Label of pixels to leave out.

    Returns:
        Labels, weights and a bool map, all of shape (N, ...). Ignored and wrong pixels have label
        and weight 0; a label whose pixel has weight 0 is never wrong.
    """
    shape = pixel_shapes(pred)[0]
    target = target.reshape(shape)
    if target.is_floating_point():
        soft = target.to(pred.dtype)
        labels, is_class = soft.clamp(0, 1), (soft >= -SLACK) & (soft <= 1 + SLACK)
    else:
        target = labels = target.long()
        is_class = (labels >= 0) & (labels < max(pred.shape[1], 2))
    counts = target != ignore_index
    if weight is None:
        weight = torch.ones_like(labels, dtype=pred.dtype)
    else:
        weight = weight.reshape(shape).to(pred.dtype)
        counts &= weight != 0
    valid = counts & is_class
    # Filled, not multiplied: where the label is ignored a weight may be no number.
    return labels.masked_fill(~valid, 0), weight.masked_fill(~valid, 0), counts & ~is_class


def mean_over(values: Tensor, counted: Tensor) -> Tensor:
    """Mean along the last dimension over the values that count; 0 where none does.

    Args:
        values: Finite numbers, shape (..., n).
        counted: Which of them count, bool, shape (..., n).
    """
    return (values * counted).sum(-1) / counted.sum(-1).clamp(min=1)


def foreground_logits(pred: Tensor, weight: Tensor, name: str) -> Tensor:
    """Return the foreground's logits, (N, ...), of one channel or of two under a softmax.

    Where a pixel takes no part they are 0, and get no gradient whatever they hold.

    Args:
        pred: Logits, shape (N, 1, ...) or (N, 2, ...): background, then foreground.
        weight: Weight of each pixel, shape (N, ...).
        name: Loss that asks, for the message.

    Raises:
        ValueError: If there are more channels.
    """
    check_foreground(pred, name)
    # The softmax of two logits is the sigmoid of their difference.
    logits = pred[:, 0] if pred.shape[1] == 1 else pred[:, 1] - pred[:, 0]
    return logits.masked_fill(weight == 0, 0)


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
