"""The Lovasz losses agree with sets of pixels counted in plain Python."""

from itertools import product

import lovasz_oracle as oracle
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdet_alrp.segmentation.losses import (
    LovaszHingeLoss,
    LovaszSoftmaxLoss,
    lovasz_extension,
    lovasz_softmax,
)
from mmdet_alrp.segmentation.losses.lovasz_extension import sort_errors

TOLERANCE = {torch.float32: 2e-6, torch.float64: 1e-12}


def numeric_grad(function, values, step=1e-6):
    """Central differences, one entry after the other."""
    grad = torch.zeros_like(values)
    for index in product(*map(range, values.shape)):
        moved = [values.clone(), values.clone()]
        for sign, copy in zip((1, -1), moved, strict=True):
            copy[index] += sign * step
        grad[index] = (function(moved[0]) - function(moved[1])) / (2 * step)
    return grad


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('use_sigmoid', [False, True])
@pytest.mark.parametrize('classes', ['present', 'all', [0, 3]])
@pytest.mark.parametrize('seed', range(3))
def test_softmax_against_sets(seed, classes, use_sigmoid, dtype, device):
    logits, targets = oracle.random_batch(seed, dtype=dtype)
    weights = [0.5, 1.0, 2.0, 0.25]
    loss = LovaszSoftmaxLoss(classes=classes, class_weight=weights, use_sigmoid=use_sigmoid)
    value = loss.to(device)(logits.to(device), targets.to(device))
    probs = logits.double().sigmoid() if use_sigmoid else logits.double().softmax(1)
    expected = oracle.softmax_mean(probs, targets, classes, weights)
    assert value.dtype == dtype
    assert value.item() == pytest.approx(expected, abs=TOLERANCE[dtype])


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('seed', range(3))
def test_hinge_against_sets(seed, dtype, device):
    logits, targets = oracle.random_batch(seed, (2, 1, 6, 7), dtype=dtype)
    value = LovaszHingeLoss()(logits.to(device), targets.to(device))
    expected = oracle.hinge(logits.double(), targets)
    assert value.item() == pytest.approx(expected, rel=TOLERANCE[dtype])


@pytest.mark.parametrize(('make', 'channels'), [(LovaszHingeLoss, 1), (LovaszSoftmaxLoss, 4)])
def test_an_iou_an_image(make, channels):
    logits, targets = oracle.random_batch(0, (3, channels, 4, 4))
    parts = [
        make()(image[None], labels[None]) for image, labels in zip(logits, targets, strict=True)
    ]
    torch.testing.assert_close(make(per_image=True)(logits, targets), torch.stack(parts).mean())


@pytest.mark.parametrize('dtype', TOLERANCE)
@pytest.mark.parametrize('per_image', [False, True])
@pytest.mark.parametrize('classes', ['present', 'all', [0, 3]])
def test_gradient_of_softmax_against_differences_of_the_oracle(classes, per_image, dtype):
    logits, targets = oracle.random_batch(5, (2, 4, 2, 3))
    targets[1] = 255 if per_image else targets[1]

    def value(moved):
        rows = zip(moved, targets, strict=True) if per_image else [(moved, targets)]
        losses = [
            oracle.softmax_mean(
                row.reshape(-1, 4, 2, 3).softmax(1), labels.reshape(-1, 2, 3), classes
            )
            for row, labels in rows
            if (labels != 255).any()
        ]
        return sum(losses) / len(losses)

    moving = logits.clone().to(dtype).requires_grad_()
    LovaszSoftmaxLoss(classes=classes, per_image=per_image)(moving, targets).backward()
    expected = numeric_grad(value, logits)
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(moving.grad.double(), expected, atol=1e-6, rtol=1e-4)


def test_gradient_of_hinge_against_differences_of_the_oracle():
    logits, targets = oracle.random_batch(1, (2, 1, 3, 4))
    moving = logits.clone().requires_grad_()
    LovaszHingeLoss()(moving, targets).backward()
    expected = numeric_grad(lambda moved: oracle.hinge(moved, targets), logits)
    assert expected.abs().max() > 0.01
    torch.testing.assert_close(moving.grad, expected, atol=1e-7, rtol=1e-6)


def test_gradcheck_away_from_ties():
    logits, targets = oracle.random_batch(2, (2, 3, 3, 3))
    loss = LovaszSoftmaxLoss(classes='all')
    assert torch.autograd.gradcheck(
        lambda moved: loss(moved, targets), logits.requires_grad_(), atol=1e-7
    )


@pytest.mark.parametrize(('make', 'channels'), [(LovaszHingeLoss, 1), (LovaszSoftmaxLoss, 3)])
def test_float32_is_as_exact_as_it_can_be_on_many_pixels(make, channels, device):
    logits, targets = oracle.random_batch(0, (1, channels, 300, 400), dtype=torch.float32)
    results = []
    for dtype in (torch.float32, torch.float64):
        moving = logits.detach().to(device, dtype, copy=True).requires_grad_()
        loss = make()(moving, targets.to(device))
        results.append((loss.double(), *torch.autograd.grad(loss, moving)))
    (value, grad), (expected, expected_grad) = results
    torch.testing.assert_close(value, expected, rtol=1e-6, atol=0)
    # Neighbours in the order may change places where float32 rounds the errors alike.
    error = (grad.double() - expected_grad).abs().sum() / expected_grad.abs().sum()
    assert error < 1e-5


def test_equal_errors_have_one_order_and_the_right_value():
    logits = torch.zeros(1, 1, 3, 5, requires_grad=True)
    targets = torch.tensor([[[1, 0, 0, 1, 0]] * 3])
    loss = LovaszHingeLoss()(logits, targets)
    loss.backward()
    # All errors are 1, so that the value is the Jaccard loss of everything wrong.
    assert loss.item() == pytest.approx(1)
    assert logits.grad.abs().sum().item() == pytest.approx(1)
    assert (logits.grad[targets[:, None] == 1] < 0).all()


@pytest.mark.parametrize('wrong', list(product([0, 1], repeat=4)))
def test_at_binary_vertices_it_is_the_jaccard_loss(wrong):
    is_pos = torch.tensor([[[True, True, False, False]]])
    probs = (is_pos ^ torch.tensor(wrong).bool()).double()
    valid = torch.ones(1, 4, dtype=torch.bool)
    pixels = {pixel for pixel, value in enumerate(wrong) if value}
    expected = oracle.jaccard_loss(pixels, is_pos.flatten().tolist())
    assert lovasz_softmax(probs, is_pos, valid).item() == pytest.approx(expected)


@pytest.mark.parametrize('target', [0, 1])
@pytest.mark.parametrize('logit', [-2.5, -1.0, 0.0, 0.3, 1.0, 7.0])
def test_hinge_of_one_pixel_is_the_hinge_loss(logit, target):
    logits = torch.full((1, 1, 1, 1), logit, requires_grad=True)
    loss = LovaszHingeLoss()(logits, torch.full((1, 1, 1), target))
    loss.backward()
    sign = 2 * target - 1
    assert loss.item() == pytest.approx(max(0.0, 1 - sign * logit))
    assert logits.grad.item() == (-sign if sign * logit < 1 else 0)


def test_a_perfect_prediction_costs_nothing():
    targets = torch.randint(3, (2, 8, 8), generator=torch.Generator().manual_seed(0))
    logits = (200.0 * torch.nn.functional.one_hot(targets).permute(0, 3, 1, 2)).requires_grad_()
    loss = LovaszSoftmaxLoss(classes='all')(logits, targets)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad.count_nonzero() == 0


@pytest.mark.parametrize(('make', 'channels'), [(LovaszHingeLoss, 1), (LovaszSoftmaxLoss, 4)])
def test_the_order_of_pixels_and_images_does_not_matter(make, channels):
    logits, targets = oracle.random_batch(3, (3, channels, 4, 5))
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    shuffled = logits.flatten(2)[..., order], targets.flatten(1)[:, order]
    images = torch.tensor([2, 0, 1])
    for per_image in (False, True):
        loss = make(per_image=per_image)
        value = loss(logits, targets)
        torch.testing.assert_close(loss(*shuffled), value)
        torch.testing.assert_close(loss(logits[images], targets[images]), value)


def test_the_order_of_classes_does_not_matter():
    logits, targets = oracle.random_batch(4, ignored=0)
    order = torch.tensor([2, 0, 3, 1])
    place = torch.argsort(order)
    torch.testing.assert_close(
        LovaszSoftmaxLoss()(logits[:, order], place[targets]), LovaszSoftmaxLoss()(logits, targets)
    )


def test_weights_of_classes_that_are_all_1_change_nothing():
    logits, targets = oracle.random_batch(6)
    assert LovaszSoftmaxLoss(class_weight=[1] * 4)(logits, targets) == LovaszSoftmaxLoss()(
        logits, targets
    )


@settings(max_examples=60, deadline=None)
@given(
    pixels=st.lists(
        st.tuples(st.floats(-6, 6, width=32), st.sampled_from([0, 1, 255])),
        min_size=1,
        max_size=12,
    )
)
def test_any_image_against_sets(pixels):
    logits = torch.tensor([logit for logit, _ in pixels]).reshape(1, 1, 1, -1)
    targets = torch.tensor([target for _, target in pixels]).reshape(1, 1, -1)
    hinge = LovaszHingeLoss()(logits, targets).item()
    assert hinge == pytest.approx(oracle.hinge(logits.double(), targets), rel=1e-5, abs=1e-6)
    value = LovaszSoftmaxLoss(use_sigmoid=True, classes='all')(logits, targets).item()
    expected = oracle.softmax_mean(logits.double().sigmoid(), targets, 'all')
    if (targets == 255).all():
        expected = 0.0
    assert value == pytest.approx(expected, abs=1e-6)
    assert 0 <= value <= 1 + 1e-6


def test_absent_classes_are_not_sorted(monkeypatch):
    rows = []

    def count_rows(errors, is_pos):
        rows.append(len(errors))
        return sort_errors(errors, is_pos)

    monkeypatch.setattr(lovasz_extension, 'sort_errors', count_rows)
    logits, targets = oracle.random_batch(0, (2, 6, 4, 4))
    targets[targets != 255] %= 2
    value = LovaszSoftmaxLoss(classes='all')(logits, targets)
    assert value.item() == pytest.approx(oracle.softmax_mean(logits.softmax(1), targets, 'all'))
    assert rows == [2]


@pytest.mark.parametrize(
    'classes', ['some', [], [0, 0], [-1], [0.5], [True], 3, np.arange(2), torch.arange(2)]
)
def test_unknown_classes(classes):
    with pytest.raises(ValueError, match='classes must be'):
        LovaszSoftmaxLoss(classes=classes)


@pytest.mark.parametrize('weights', ['1', 1, [-1, 1], [float('inf'), 1], ['1', 1]])
def test_weights_of_classes_that_are_none(weights):
    with pytest.raises(ValueError, match='class_weight must be a list of finite numbers'):
        LovaszSoftmaxLoss(class_weight=weights)


@pytest.mark.parametrize(
    ('options', 'channels', 'said'),
    [
        ({'classes': [0, 5]}, 3, 'channels below 3'),
        ({'class_weight': [1, 2]}, 3, 'expected 3, got 2'),
        ({}, 1, 'use_sigmoid=True'),
    ],
)
def test_options_that_do_not_fit_the_channels(options, channels, said):
    with pytest.raises(ValueError, match=said):
        LovaszSoftmaxLoss(**options)(
            torch.zeros(1, channels, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long)
        )


def test_hinge_of_more_than_two_channels():
    with pytest.raises(ValueError, match='LovaszHingeLoss needs one channel'):
        LovaszHingeLoss()(torch.zeros(1, 3, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long))
