"""The torch-only box losses against plain arithmetic, and against MMDetection's."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.losses.iou_loss import ciou_loss, diou_loss, giou_loss, iou_loss

from mmdet_alrp.criteria import BOX_LOSSES, matched_ious

THEIRS = {
    'iou': lambda *boxes: iou_loss(*boxes, mode='linear', reduction='none'),
    'giou': lambda *boxes: giou_loss(*boxes, reduction='none'),
    'diou': lambda *boxes: diou_loss(*boxes, reduction='none'),
    'ciou': lambda *boxes: ciou_loss(*boxes, reduction='none'),
}


def by_hand(kind, a, b):
    """One pair of boxes, from the papers' formulas."""
    width, height = (max(0, min(a[i + 2], b[i + 2]) - max(a[i], b[i])) for i in (0, 1))
    area_a, area_b = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    shared = width * height
    union = area_a + area_b - shared
    iou = shared / union
    hull = [max(a[i + 2], b[i + 2]) - min(a[i], b[i]) for i in (0, 1)]
    if kind == 'iou':
        return 1 - iou
    if kind == 'giou':
        return 1 - (iou - (hull[0] * hull[1] - union) / (hull[0] * hull[1]))
    between = sum(((a[i] + a[i + 2]) / 2 - (b[i] + b[i + 2]) / 2) ** 2 for i in (0, 1))
    loss = 1 - iou + between / (hull[0] ** 2 + hull[1] ** 2)
    if kind == 'diou':
        return loss
    angles = [math.atan((box[2] - box[0]) / (box[3] - box[1])) for box in (b, a)]
    shape = 4 / math.pi**2 * (angles[0] - angles[1]) ** 2
    weight = shape / (1 - iou + shape) if iou > 0.5 and shape > 0 else 0
    return min(2, max(0, loss + weight * shape))


corner = st.floats(-50, 50)
side = st.floats(0.01, 60)
box = st.tuples(corner, corner, side, side).map(
    lambda part: [part[0], part[1], part[0] + part[2], part[1] + part[3]]
)


@settings(deadline=None, max_examples=60)
@given(pairs=st.lists(st.tuples(box, box), min_size=1, max_size=8), kind=st.sampled_from([*THEIRS]))
def test_every_pair_is_the_formula(pairs, kind):
    first, second = (torch.tensor(part, dtype=torch.float64) for part in zip(*pairs, strict=True))
    expected = [by_hand(kind, a, b) for a, b in pairs]
    found = BOX_LOSSES[kind](first, second)
    torch.testing.assert_close(
        found, torch.tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-9
    )
    torch.testing.assert_close(matched_ious(first, second), 1 - BOX_LOSSES['iou'](first, second))


def near_boxes(dtype=torch.float64, scale=1.0):
    generator = torch.Generator().manual_seed(0)
    corners = 100 * torch.rand(40, 2, generator=generator)
    true_boxes = torch.cat([corners, corners + 5 + 40 * torch.rand(40, 2, generator=generator)], 1)
    boxes = true_boxes + 4 * torch.randn(40, 4, generator=generator)
    boxes[:, 2:] = torch.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    boxes[:5] += 300  # far away
    return (scale * boxes).to(dtype), (scale * true_boxes).to(dtype)


@pytest.mark.parametrize('kind', [*THEIRS])
def test_values_and_gradients_are_those_of_mmdetection(kind):
    boxes, true_boxes = near_boxes()
    ours, theirs = (boxes.clone().requires_grad_() for _ in range(2))
    found, expected = BOX_LOSSES[kind](ours, true_boxes), THEIRS[kind](theirs, true_boxes)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    grads = torch.autograd.grad(found.sum(), ours), torch.autograd.grad(expected.sum(), theirs)
    torch.testing.assert_close(*grads, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize('kind', ['iou', 'giou', 'diou'])
def test_gradients_are_derivatives(kind):
    boxes, true_boxes = near_boxes()
    assert torch.autograd.gradcheck(
        lambda b: BOX_LOSSES[kind](b, true_boxes), boxes.requires_grad_(), atol=1e-6
    )


@pytest.mark.parametrize('kind', [*THEIRS])
def test_boxes_in_units_of_the_image_have_the_loss_of_those_in_pixels(kind):
    """Boxes of a DETR: an area of 1e-6 is an object of a thousandth of the image."""
    pixels = BOX_LOSSES[kind](*near_boxes(torch.float32))
    units = BOX_LOSSES[kind](*near_boxes(torch.float32, scale=1 / 4000))
    torch.testing.assert_close(units, pixels, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('kind', [*THEIRS])
def test_empty_equal_and_pointlike_boxes_stay_finite(kind):
    boxes = torch.tensor([[3.0, 3, 3, 3], [0, 0, 8, 8], [5, 5, 5, 9]]).requires_grad_()
    true_boxes = torch.tensor([[3.0, 3, 3, 3], [0, 0, 8, 8], [0, 0, 8, 8]])
    losses = BOX_LOSSES[kind](boxes, true_boxes)
    (grad,) = torch.autograd.grad(losses.sum(), boxes)
    assert losses.isfinite().all() and grad.isfinite().all()
    torch.testing.assert_close(losses[1].item(), 0.0)
    assert BOX_LOSSES[kind](boxes[:0], true_boxes[:0]).shape == (0,)


@pytest.mark.parametrize('kind', [*THEIRS])
@pytest.mark.parametrize('box', [[10, 10, 0, 0], [10, 0, 0, 10], [0, 10, 10, 0]])
def test_box_with_its_corners_the_wrong_way_round_has_no_area(kind, box):
    boxes = torch.tensor([box], dtype=torch.float64, requires_grad=True)
    loss = BOX_LOSSES[kind](boxes, torch.tensor([[0.0, 0.0, 1.0, 1.0]], dtype=torch.float64))
    assert 1 <= loss <= 2
    if kind == 'giou':  # a step against the gradient does not move the corners further apart
        (grad,) = torch.autograd.grad(loss.sum(), boxes)
        wrong = boxes[:, :2] > boxes[:, 2:]
        assert (grad[:, :2][wrong] >= 0).all() and (grad[:, 2:][wrong] <= 0).all()
