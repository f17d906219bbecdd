"""The F-measure loss follows its formula and its published gradient."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdet_alrp.segmentation.losses import FMeasureLoss, f_measure_loss


def f_measure(probs, masks, beta2, weights=None):
    """F of one image in plain Python."""
    weights = weights or [1.0] * len(probs)
    pixels = list(zip(probs, masks, weights, strict=True))
    true_pos = sum(w * p * y for p, y, w in pixels)
    total = beta2 * sum(w * y for _, y, w in pixels) + sum(w * p for p, _, w in pixels)
    return (1 + beta2) * true_pos / total


def random_maps(seed, images=3, pixels=20):
    generator = torch.Generator().manual_seed(seed)
    probs = torch.rand(images, pixels, generator=generator, dtype=torch.float64)
    return probs, (torch.rand(images, pixels, generator=generator) < 0.4).double()


@pytest.mark.parametrize('beta2', [0.3, 1.0])
@pytest.mark.parametrize('log_like', [False, True])
def test_value(beta2, log_like, device):
    probs, masks = random_maps(0)
    values = [f_measure(p, y, beta2) for p, y in zip(probs.tolist(), masks.tolist(), strict=True)]
    expected = sum(-math.log(f) if log_like else 1 - f for f in values) / 3
    loss = f_measure_loss(probs.to(device), masks.to(device), beta2=beta2, log_like=log_like)
    assert loss.item() == pytest.approx(expected, rel=1e-12)


def test_half_the_object_found_and_nothing_else():
    probs, masks = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[1.0, 1.0, 0.0]])
    # Precision 1, recall 1/2: 1.3 / (0.3 / 0.5 + 1 / 1) by the weighted harmonic mean.
    expected = 1 - 1.3 / (0.3 / 0.5 + 1 / 1)
    assert f_measure_loss(probs, masks).item() == pytest.approx(expected)


@pytest.mark.parametrize('beta2', [0.3, 2.0])
def test_gradient_in_closed_form(beta2):
    probs, masks = random_maps(1, images=1)
    probs.requires_grad_()
    f_measure_loss(probs, masks, beta2=beta2).backward()
    true_pos = (probs * masks).sum().item()
    total = (beta2 * masks.sum() + probs.sum()).item()
    expected = (1 + beta2) * (true_pos / total**2 - masks / total)
    torch.testing.assert_close(probs.grad, expected)


def test_the_gradient_stays_large_where_predictions_are_saturated():
    logits = torch.tensor([[[[6.0, 6.0, -6.0, -6.0]]]])
    masks = torch.tensor([[[[1, 1, 1, 0]]]])
    probs = logits.sigmoid().requires_grad_()
    FMeasureLoss(from_logits=False)(probs, masks).backward()
    assert probs.grad.abs().min() > 0.1


@pytest.mark.parametrize('log_like', [False, True])
def test_gradcheck(log_like):
    logits = torch.randn(
        2, 1, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    ).requires_grad_()
    masks = torch.tensor([[[1, 0, 0], [1, 1, 0], [255, 0, 0]]] * 2)
    loss = FMeasureLoss(log_like=log_like)
    assert torch.autograd.gradcheck(lambda moved: loss(moved, masks), logits)


def test_logits_probabilities_and_two_channels_say_the_same():
    logits = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    masks = (torch.rand(2, 4, 4, generator=torch.Generator().manual_seed(1)) < 0.5).long()
    expected = FMeasureLoss()(logits, masks)
    two = torch.cat((torch.full_like(logits, 0.7), logits + 0.7), 1)
    torch.testing.assert_close(FMeasureLoss()(two, masks), expected)
    probs = FMeasureLoss(from_logits=False)
    torch.testing.assert_close(probs(logits.sigmoid(), masks), expected)
    torch.testing.assert_close(probs(two.softmax(1), masks), expected)


def test_one_f_measure_of_the_batch():
    probs, masks = random_maps(2)
    whole = f_measure(probs.flatten().tolist(), masks.flatten().tolist(), 0.3)
    loss = FMeasureLoss(from_logits=False, per_image=False)
    assert loss(probs[:, None], masks).item() == pytest.approx(1 - whole)


def test_weights_of_pixels():
    probs, masks = random_maps(3, images=1)
    weights = torch.linspace(0, 2, 20, dtype=torch.float64)[None]
    expected = 1 - f_measure(*(m[0].tolist() for m in (probs, masks)), 0.3, weights[0].tolist())
    loss = FMeasureLoss(from_logits=False)
    assert loss(probs[:, None], masks, weights).item() == pytest.approx(expected)


def test_soft_masks():
    probs, masks = random_maps(4)
    masks = 0.25 + masks / 2
    values = [f_measure(p, y, 0.3) for p, y in zip(probs.tolist(), masks.tolist(), strict=True)]
    loss = FMeasureLoss(from_logits=False)(probs[:, None], masks)
    assert loss.item() == pytest.approx(1 - sum(values) / 3)


@pytest.mark.parametrize('log_like', [False, True])
def test_an_image_without_foreground_changes_nothing(log_like):
    logits = torch.randn(3, 1, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    masks = (torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(1)) < 0.5).long()
    masks[1] = 0
    loss = FMeasureLoss(log_like=log_like)
    value = loss(logits, masks)
    value.backward()
    rest = torch.tensor([0, 2])
    torch.testing.assert_close(value, loss(logits[rest], masks[rest]))
    assert logits.grad[1].count_nonzero() == 0 and logits.grad.isfinite().all()


@pytest.mark.parametrize('logit', [-1e4, -95.0, 95.0, 1e4])
def test_log_like_is_finite_where_nothing_is_found(logit):
    logits = torch.full((1, 1, 2, 2), logit, requires_grad=True)
    loss = FMeasureLoss(log_like=True)(logits, torch.tensor([[[1, 0], [0, 0]]]))
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


@settings(max_examples=50, deadline=None)
@given(
    pixels=st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30),
    beta2=st.floats(0.05, 5),
)
def test_any_image(pixels, beta2):
    probs = torch.tensor([[p for p, _ in pixels]], dtype=torch.float64)
    masks = torch.tensor([[float(y) for _, y in pixels]], dtype=torch.float64)
    loss = f_measure_loss(probs, masks, beta2=beta2).item()
    assert -1e-12 <= loss <= 1
    if masks.any():
        expected = 1 - f_measure(*zip(*pixels, strict=True), beta2)
        assert loss == pytest.approx(expected, abs=1e-12)
        assert f_measure_loss(masks, masks, beta2=beta2).item() == pytest.approx(0, abs=1e-12)
    else:
        assert loss == 0


@pytest.mark.parametrize('beta2', [0, -1, float('inf'), float('nan')])
def test_beta2_must_be_positive(beta2):
    with pytest.raises(ValueError, match='beta2 must be a positive number'):
        FMeasureLoss(beta2=beta2)


def test_more_than_two_channels():
    for loss in (FMeasureLoss(), FMeasureLoss(from_logits=False)):
        with pytest.raises(ValueError, match='got 3 channels'):
            loss(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long))
