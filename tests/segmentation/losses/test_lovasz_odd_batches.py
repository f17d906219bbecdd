"""Inputs on which MMSegmentation 1.2.2's LovaszLoss stops, or gives no scalar."""

import lovasz_oracle as oracle
import pytest
import torch

from mmdet_alrp.segmentation.losses import LovaszHingeLoss, LovaszSoftmaxLoss


def loss_and_grad(loss, logits, targets):
    logits = logits.detach().requires_grad_()
    value = loss(logits, targets)
    assert value.shape == ()
    value.backward()
    assert logits.grad.isfinite().all()
    return value.item(), logits.grad


def test_without_any_option():
    logits, targets = oracle.random_batch(0)
    value, grad = loss_and_grad(LovaszSoftmaxLoss(), logits, targets)
    assert value == pytest.approx(oracle.softmax_mean(logits.softmax(1), targets))
    assert grad.count_nonzero() > 0


@pytest.mark.parametrize(
    ('loss', 'channels'),
    [
        (LovaszSoftmaxLoss(), 3),
        (LovaszSoftmaxLoss(classes='all'), 3),
        (LovaszSoftmaxLoss(classes=[1], per_image=True), 3),
        (LovaszHingeLoss(), 1),
    ],
)
def test_all_ignored(loss, channels):
    logits = torch.randn(2, channels, 4, 4)
    value, grad = loss_and_grad(loss, logits, torch.full((2, 4, 4), 255))
    assert value == 0 and grad.count_nonzero() == 0


def test_one_valid_pixel():
    targets = torch.full((2, 4, 4), 255)
    targets[1, 2, 3] = 2
    logits, _ = oracle.random_batch(0, (2, 3, 4, 4))
    value, grad = loss_and_grad(LovaszSoftmaxLoss(), logits, targets)
    prob = logits[1, :, 2, 3].softmax(0)
    assert value == pytest.approx(1 - prob[2].item())
    torch.testing.assert_close(grad[1, 2, 2, 3], -prob[2] * (1 - prob[2]))
    assert grad.count_nonzero() == 3


def test_no_class_present():
    loss = LovaszSoftmaxLoss(use_sigmoid=True)  # whose only class is the foreground
    value, grad = loss_and_grad(loss, torch.randn(2, 1, 4, 4), torch.zeros(2, 4, 4).long())
    assert value == 0 and grad.count_nonzero() == 0


def test_an_ignored_image_among_others_changes_nothing():
    logits, targets = oracle.random_batch(1, (3, 4, 4, 4))
    targets[1] = 255
    rest = torch.tensor([0, 2])
    for loss in (LovaszSoftmaxLoss(per_image=True), LovaszSoftmaxLoss('all', per_image=True)):
        value, grad = loss_and_grad(loss, logits, targets)
        expected, grad_of_rest = loss_and_grad(loss, logits[rest], targets[rest])
        assert value == pytest.approx(expected)
        torch.testing.assert_close(grad[rest], grad_of_rest)
        assert grad[1].count_nonzero() == 0


def test_background_and_foreground_in_two_channels():
    logits, targets = oracle.random_batch(2, (2, 2, 4, 4))
    value, grad = loss_and_grad(LovaszHingeLoss(), logits, targets)
    margin = logits[:, 1:] - logits[:, :1]
    expected, grad_of_margin = loss_and_grad(LovaszHingeLoss(), margin, targets)
    assert value == pytest.approx(expected)
    torch.testing.assert_close(grad, torch.cat((-grad_of_margin, grad_of_margin), 1))


@pytest.mark.parametrize(('make', 'channels'), [(LovaszSoftmaxLoss, 4), (LovaszHingeLoss, 1)])
def test_views_that_are_not_contiguous(make, channels):
    logits, targets = oracle.random_batch(3, (2, channels, 4, 6))
    swapped = logits.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2).transpose(2, 3)
    assert not swapped.is_contiguous()
    for per_image in (False, True):
        loss = make(per_image=per_image)
        value, grad = loss_and_grad(loss, swapped, targets.transpose(1, 2))
        expected, expected_grad = loss_and_grad(loss, logits, targets)
        assert value == pytest.approx(expected)
        torch.testing.assert_close(grad.transpose(2, 3), expected_grad)
