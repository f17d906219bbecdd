"""Every ranking loss beside its brute force, all called alike, and how they are compared."""

import math
from collections.abc import Callable
from typing import NamedTuple

import oracle
import torch
from torch import Tensor

from mmdet_alrp.ranking import alrp_loss, average_precision_loss, ndcg_loss, rank_sort_loss

TOLERANCES = {torch.float64: 1e-9, torch.float32: 3e-5}


class Pair(NamedTuple):
    """Both take logits, targets, E or IoU of the positives, delta, and options by keyword."""

    ours: Callable[..., Tensor]
    brute_force: Callable[..., oracle.Expected]


PAIRS = {
    'ap': Pair(
        lambda s, t, e, d, **o: average_precision_loss(s, t, d, **o),
        lambda s, t, e, d, **o: oracle.average_precision(s, t, d, **o),
    ),
    'ap plain': Pair(
        lambda s, t, e, d, **o: average_precision_loss(s, t, d, interpolated=False, **o),
        lambda s, t, e, d, **o: oracle.average_precision(s, t, d, interpolated=False, **o),
    ),
    'alrp': Pair(
        lambda s, t, e, d, **o: alrp_loss(s, t, e, d, **o)[0],
        lambda s, t, e, d, **o: oracle.alrp_cls(s, t, e, d, **o),
    ),
    'ndcg': Pair(
        lambda s, t, e, d, **o: ndcg_loss(s, t, d, **o),
        lambda s, t, e, d, **o: oracle.ndcg(s, t, d, **o),
    ),
    'rs rank': Pair(
        lambda s, t, e, d, **o: rank_sort_loss(s, t, e, d, **o)[0],
        lambda s, t, e, d, **o: oracle.rank_sort(s, t, e, d, **o)[0],
    ),
    'rs sort': Pair(
        lambda s, t, e, d, **o: rank_sort_loss(s, t, e, d, **o)[1],
        lambda s, t, e, d, **o: oracle.rank_sort(s, t, e, d, **o)[1],
    ),
}


def value_and_grad(name: str, case: tuple[Tensor, ...], delta: float, **options):
    """Loss and gradient on the logits; the gradient is 0 where nothing depends on them."""
    logits, targets, of_positives = case
    logits = logits.detach().clone().requires_grad_()
    loss = PAIRS[name].ours(logits, targets, of_positives, delta, **options)
    (grad,) = torch.autograd.grad(loss, logits)
    return loss.detach(), grad


def assert_near(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Bound the error by the largest value: an absolute bound is lax on gradients of 1/|P|."""
    assert actual.shape == expected.shape
    scale = expected.abs().max().item() if expected.numel() else 0.0
    error = (actual.double().cpu() - expected).abs().max().item() if expected.numel() else 0.0
    assert error <= tolerance * scale + 1e-15, f'error {error:.3g} at scale {scale:.3g}'


def assert_matches(loss: Tensor, logits: Tensor, expected: oracle.Expected) -> None:
    """Compare a loss and its gradient; the step is taken with a factor, as a loss weight would."""
    assert loss.shape == ()
    tolerance = TOLERANCES[logits.dtype]
    (grad,) = torch.autograd.grad(3 * loss, logits, retain_graph=True)
    assert grad.dtype == logits.dtype and grad.device == logits.device
    assert math.isclose(loss.item(), expected.loss, abs_tol=tolerance)
    assert_near(grad, 3 * expected.grad, tolerance)
