"""Operators that mmcv compiles for GPUs only: against plain loops and formulas on any device."""

import math

import pytest
import torch
from mmcv.ops import roi_align, roi_pool, sigmoid_focal_loss, softmax_focal_loss
from mmcv.ops.multi_scale_deform_attn import (
    MultiScaleDeformableAttnFunction,
    multi_scale_deformable_attn_pytorch,
)
from operator_cases import boxes, numbers

SIZES = [(6, 5), (3, 4), (1, 2)]


def rois_on(count, side):
    index = torch.arange(count)[:, None] % 2
    return torch.cat((index, boxes(71, count, side)), dim=1)


def pool_slowly(features, rois, rows, columns, scale):
    output = torch.zeros(len(rois), features.size(1), rows, columns, dtype=features.dtype)
    for number, (index, x1, y1, x2, y2) in enumerate(rois.tolist()):
        left, top = x1 * scale, y1 * scale
        width, height = (x2 + 1) * scale - left, (y2 + 1) * scale - top
        for row in range(rows):
            for column in range(columns):
                first = max(math.floor(top + row * height / rows), 0)
                last = math.ceil(top + (row + 1) * height / rows)
                start = max(math.floor(left + column * width / columns), 0)
                stop = math.ceil(left + (column + 1) * width / columns)
                part = features[int(index), :, first : max(last, 0), start : max(stop, 0)]
                if part.numel():
                    output[number, :, row, column] = part.amax((1, 2))
    return output


@pytest.mark.parametrize('scale', [1.0, 0.25])
def test_pool_takes_the_maximum_of_each_bin(device, scale):
    features = numbers(73, 2, 3, 14, 11).double().requires_grad_()
    rois = rois_on(9, 12 / scale).double()
    rois[0, 1:] = torch.tensor([-20.0, -9.0, 3.0, 4.0])  # partly outside
    rois[1, 1:] = torch.tensor([300.0, 300.0, 330.0, 330.0])  # outside: 0 and no gradient
    rois[2, 1:] = torch.tensor([9.0, 9.0, 2.0, 3.0])  # inside out
    expected = pool_slowly(features, rois, 3, 2, scale)
    weights = numbers(75, *expected.shape).double()
    (wanted,) = torch.autograd.grad((expected * weights).sum(), features)
    inputs = features.detach().to(device).requires_grad_()
    output = roi_pool(inputs, rois.to(device), (3, 2), scale)
    torch.testing.assert_close(output.cpu(), expected)
    (found,) = torch.autograd.grad((output * weights.to(device)).sum(), inputs)
    torch.testing.assert_close(found.cpu(), wanted)


def focal_loss(logits, targets, gamma, alpha):
    probs = logits.sigmoid()
    is_class = torch.arange(logits.size(1), device=logits.device) == targets[:, None]
    positive = -alpha * (1 - probs) ** gamma * probs.log()
    return torch.where(is_class, positive, -(1 - alpha) * probs**gamma * (1 - probs).log())


def grads_of(loss, logits):
    value = loss(logits)
    return value, *torch.autograd.grad(value.sum(), logits)


@pytest.mark.parametrize('gamma', [2.0, 0.5])
def test_sigmoid_focal_loss_is_its_formula(device, gamma):
    logits = (numbers(77, 30, 4) * 3).double().to(device).requires_grad_()
    targets = (torch.arange(30) % 5).to(device)  # 4 is the background
    found = grads_of(lambda x: sigmoid_focal_loss(x, targets, gamma, 0.3, None, 'none'), logits)
    expected = grads_of(lambda x: focal_loss(x, targets, gamma, 0.3), logits)
    torch.testing.assert_close(found, expected)
    weight = torch.tensor([0.5, 2.0, 0.0, 1.0], dtype=torch.float64, device=device)
    weighted = sigmoid_focal_loss(logits, targets, gamma, 0.3, weight, 'none')
    factors = torch.cat((weight, weight.new_ones(1)))[targets]
    torch.testing.assert_close(weighted, expected[0] * factors[:, None])


def test_softmax_focal_loss_is_its_formula(device):
    logits = (numbers(79, 30, 4) * 2).double().to(device).requires_grad_()
    targets = (torch.arange(30) % 4).to(device)

    def formula(x):
        probs = x.softmax(1).gather(1, targets[:, None]).squeeze(1)
        return -0.3 * (1 - probs) ** 2 * probs.log()

    value, grad = grads_of(formula, logits)
    torch.testing.assert_close(softmax_focal_loss(logits, targets, 2.0, 0.3, None, 'none'), value)
    loss = softmax_focal_loss(logits, targets, 2.0, 0.3, None, 'sum')
    torch.testing.assert_close(torch.autograd.grad(loss, logits)[0], grad)


def test_focal_losses_stay_finite_and_without_targets_are_empty(device):
    logits = torch.tensor([[200.0, -200.0]], device=device).requires_grad_()
    for target in (0, 1, 2):
        loss = sigmoid_focal_loss(logits, torch.tensor([target], device=device), 2.0, 0.25)
        assert loss.isfinite() and torch.autograd.grad(loss, logits)[0].isfinite().all()
    none = torch.zeros(0, dtype=torch.long, device=device)
    for loss in (sigmoid_focal_loss, softmax_focal_loss):
        value = loss(logits[:0], none, 2.0, 0.25, None, 'sum') if loss is sigmoid_focal_loss else 0
        assert value == 0


def attention_inputs(dtype):
    pixels = sum(height * width for height, width in SIZES)
    value = numbers(81, 2, pixels, 3, 4).to(dtype)
    locations = (numbers(83, 2, 7, 3, 3, 2, 2) * 0.4 + 0.5).to(dtype)
    weights = numbers(85, 2, 7, 3, 3, 2).flatten(3).softmax(-1).view(2, 7, 3, 3, 2).to(dtype)
    return [tensor.requires_grad_() for tensor in (value, locations, weights)]


def attend(value, locations, weights):
    sizes = torch.tensor(SIZES, device=value.device)
    starts = torch.cat((sizes.new_zeros(1), sizes.prod(1).cumsum(0)[:-1]))
    return MultiScaleDeformableAttnFunction.apply(value, sizes, starts, locations, weights, 64)


def test_attention_is_that_of_mmcv_on_a_cpu(device):
    inputs = [x.detach().to(device).requires_grad_() for x in attention_inputs(torch.float32)]
    output = attend(*inputs)
    expected = multi_scale_deformable_attn_pytorch(
        inputs[0], torch.tensor(SIZES, device=device), *inputs[1:]
    )
    torch.testing.assert_close(output, expected)
    weights = numbers(87, *output.shape).to(device)
    found = torch.autograd.grad((output * weights).sum(), inputs)
    torch.testing.assert_close(found, torch.autograd.grad((expected * weights).sum(), inputs))


def test_gradients_are_derivatives():
    from mmcv.ops import deform_conv2d, modulated_deform_conv2d

    features = numbers(89, 1, 2, 5, 6).double().requires_grad_()
    rois = torch.tensor([[0, 1.0, 1.0, 9.0, 7.0]]).double()
    assert torch.autograd.gradcheck(lambda x: roi_align(x, rois, (2, 3), 0.5, 2), [features])
    offsets = (numbers(91, 1, 36, 3, 4) * 0.3 + 0.4).double().requires_grad_()
    masks = numbers(93, 1, 18, 3, 4).double().requires_grad_()
    weight = numbers(95, 2, 1, 3, 3).double().requires_grad_()
    bias = numbers(97, 2).double().requires_grad_()
    layout = (1, 0, 1, 2, 2)  # stride, padding, dilation, groups, deformable groups
    arguments = [features, offsets, weight]
    assert torch.autograd.gradcheck(lambda *x: deform_conv2d(*x, *layout), arguments)
    arguments = [features, offsets, masks, weight, bias]
    assert torch.autograd.gradcheck(lambda *x: modulated_deform_conv2d(*x, *layout), arguments)
    assert torch.autograd.gradcheck(attend, attention_inputs(torch.float64))


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_agrees_with_single(device, dtype):
    features = numbers(101, 2, 3, 9, 8).to(device)
    rois = rois_on(5, 30).to(device)
    half = roi_align(features.to(dtype), rois.to(dtype), (3, 3), 0.25, 2)
    assert half.dtype == dtype
    exact = roi_align(features.to(dtype).float(), rois.to(dtype).float(), (3, 3), 0.25, 2)
    torch.testing.assert_close(half.float(), exact, rtol=2e-2, atol=2e-2)
    with torch.autocast(device.type, dtype):
        cast = roi_align(features, rois, (3, 3), 0.25, 2)
    torch.testing.assert_close(cast, roi_align(features, rois, (3, 3), 0.25, 2))


def test_convolution_can_be_differentiated_twice_in_a_row():
    """The gradient that waits between mmcv's two calls must not be taken for a later one's."""
    from mmcv.ops import deform_conv2d

    tensors = [numbers(103, 1, 2, 5, 5), numbers(105, 1, 18, 3, 3), numbers(107, 4, 2, 3, 3)]
    leaves = [tensor.requires_grad_() for tensor in tensors]
    output = deform_conv2d(*leaves, 1, 0)
    first = torch.autograd.grad(output.sum(), leaves, retain_graph=True)
    torch.autograd.grad(output.sum(), leaves[:2], retain_graph=True)
    again = torch.autograd.grad((2 * output).sum(), leaves[2], retain_graph=True)[0]
    torch.testing.assert_close(again, 2 * first[2])
