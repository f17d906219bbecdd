"""Published and hand-made numbers as literals."""

import math

import pytest
import torch

from mmdet_alrp.ranking import alrp_loss, average_precision_loss, ndcg_loss

# aLRP paper, App. A: ten detections, positives at ranks 1, 3, 6, 10, with these IoUs.
TOY_IOUS = {
    'C&R1': [0.95, 0.80, 0.65, 0.50],
    'C&R2': [0.80, 0.65, 0.50, 0.95],
    'C&R3': [0.50, 0.65, 0.80, 0.95],
}


def toy(name: str):
    logits = torch.arange(10, 0, -1, dtype=torch.float64) / 10
    targets = torch.tensor([1, 0, 1, 0, 0, 1, 0, 0, 0, 1])
    loc_errors = (1 - torch.tensor(TOY_IOUS[name], dtype=torch.float64)) / 0.5
    return logits.requires_grad_(), targets, loc_errors


@pytest.mark.parametrize(
    ('name', 'delta', 'cls', 'loc', 'total', 'moved'),
    [
        ('C&R1', 0.0, 0.3583, 0.1717, 0.5300, 0.4175),
        ('C&R2', 0.0, 0.3583, 0.3342, 0.6925, 0.4900),
        ('C&R3', 0.0, 0.3583, 0.5342, 0.8925, 0.5650),
        ('C&R1', 1.0, 0.5154, 0.1602, 0.6757, 0.6292),
        ('C&R2', 1.0, 0.5154, 0.2577, 0.7732, 0.6803),
        ('C&R3', 1.0, 0.5154, 0.3392, 0.8546, 0.7020),
    ],
)
def test_alrp_toy_example(name, delta, cls, loc, total, moved):
    logits, targets, loc_errors = toy(name)
    loss_cls, loss_loc = alrp_loss(logits, targets, loc_errors, delta)
    (grad,) = torch.autograd.grad(loss_cls, logits)
    found = [loss_cls, loss_loc, loss_cls + loss_loc, grad[targets == 0].sum()]
    assert [v.item() for v in found] == pytest.approx([cls, loc, total, moved], abs=5.1e-5)
    assert grad[targets == 1].sum().item() == pytest.approx(-moved, abs=5.1e-5)


def test_ap_of_the_toy_example():
    logits, targets, _ = toy('C&R1')
    expected = 1 - (1 + 2 / 3 + 1 / 2 + 2 / 5) / 4
    plain = average_precision_loss(logits, targets, delta=0.0, interpolated=False)
    interpolated = average_precision_loss(logits, targets, delta=0.0)
    assert plain.item() == pytest.approx(expected, abs=1e-12)
    # The precision falls all the way down here, so the running maximum changes nothing.
    assert interpolated.item() == pytest.approx(expected, abs=1e-12)


def test_interpolation_lifts_precision_to_that_of_a_lower_positive():
    logits = torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([0, 1, 1])
    plain = average_precision_loss(logits, targets, 0.0, interpolated=False)
    (grad_plain,) = torch.autograd.grad(plain, logits)
    interpolated = average_precision_loss(logits, targets, 0.0)
    (grad,) = torch.autograd.grad(interpolated, logits)
    assert plain.item() == pytest.approx(1 - (1 / 2 + 2 / 3) / 2, abs=1e-12)
    assert interpolated.item() == pytest.approx(1 / 3, abs=1e-12)
    assert grad_plain.tolist() == pytest.approx([5 / 12, -1 / 4, -1 / 6], abs=1e-12)
    assert grad.tolist() == pytest.approx([1 / 3, -1 / 6, -1 / 6], abs=1e-12)


def test_ndcg_of_one_positive_in_second_place():
    logits = torch.tensor([1.0, 0.0, -1.0], dtype=torch.float64, requires_grad=True)
    loss = ndcg_loss(logits, torch.tensor([0, 1, 0]), delta=0.0)
    (grad,) = torch.autograd.grad(loss, logits)
    gap = 1 - 1 / math.log2(3)
    assert loss.item() == pytest.approx(gap, abs=1e-12)
    assert grad.tolist() == pytest.approx([gap, -gap, 0], abs=1e-12)


def test_ramp_between_one_positive_and_one_negative():
    """H(-.5) = .25 with delta 1: N_FP = .25, rank 1.25; E of a lone positive moves nothing."""
    logits = torch.tensor([0.5, 0.0], dtype=torch.float64, requires_grad=True)
    targets, loc_errors = torch.tensor([1, 0]), torch.tensor([0.6], dtype=torch.float64)
    loss_cls, loss_loc = alrp_loss(logits, targets, loc_errors)
    (grad,) = torch.autograd.grad(loss_cls, logits)
    assert (loss_cls.item(), loss_loc.item()) == pytest.approx((0.2, 0.6 / 1.25), abs=1e-12)
    assert grad.tolist() == pytest.approx([-0.2, 0.2], abs=1e-12)


def test_hard_step_counts_an_equal_negative():
    logits = torch.zeros(2, dtype=torch.float64)
    loss = average_precision_loss(logits, torch.tensor([1, 0]), delta=0.0)
    assert loss.item() == pytest.approx(0.5, abs=1e-12)
