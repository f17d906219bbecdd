"""The registered Auto Seg-Loss: its arguments, odd batches, precision."""

import copy
import warnings

import pytest
import torch
from mmengine.registry import MODELS
from torch.nn.functional import cross_entropy

from mmdet_alrp.segmentation.losses import AutoSegLoss
from mmdet_alrp.segmentation.losses.surrogates import SURROGATES, SoftPrediction

METRICS = list(SURROGATES)
BOUNDARY_ALONE = 'ignore:AutoSegLoss. .* alone ruins the regions'


def batch(num_classes=4, dtype=torch.float32, device='cpu', seed=0):
    generator = torch.Generator().manual_seed(seed)
    pred = torch.randn(2, num_classes, 8, 10, generator=generator).to(device, dtype)
    target = torch.randint(0, max(num_classes, 2), (2, 4, 5), generator=generator)
    target = target.repeat_interleave(2, 1).repeat_interleave(2, 2)
    target[0, :2, :3] = 255
    return pred.requires_grad_(), target.to(device)


def loss_and_grad(loss, pred, target, **kwargs):
    value = loss(pred, target, **kwargs)
    return value.detach(), torch.autograd.grad(value, pred)[0]


@pytest.mark.filterwarnings(BOUNDARY_ALONE)
@pytest.mark.parametrize('metric', METRICS)
def test_the_loss_is_one_minus_the_score(metric):
    pred, target = batch(dtype=torch.float64)
    loss = MODELS.build({'type': 'AutoSegLoss', 'target_metric': metric, 'tolerance': 2})
    valid = (target != 255).double()
    soft = SoftPrediction(pred.softmax(1), target * valid.long(), valid, tolerance=2)
    expected = 1 - SURROGATES[metric].score(soft, loss.parameters_of[metric].curves)
    value, grad = loss_and_grad(loss, pred, target)
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(grad, torch.autograd.grad(expected, pred)[0])
    assert grad.any()


@pytest.mark.parametrize('kind', ['bezier', 'linear'])
def test_a_sum_of_metrics_is_the_sum_of_its_parts(kind):
    pred, target = batch(dtype=torch.float64)
    weights = {'mIoU': 1, 'BIoU': 0.5, 'BF1': 2.0, 'gAcc': 0.1}
    sizes = {'mIoU': 2, 'BIoU': 2, 'BF1': 4, 'gAcc': 1}
    each = 6 if kind == 'bezier' else 5
    theta = {
        m: {'theta': torch.rand(each * sizes[m]).tolist(), 'parameterization': kind}
        for m in weights
    }
    options = {'tolerance': 1}
    whole = loss_and_grad(AutoSegLoss(weights, theta, loss_weight=3, **options), pred, target)
    parts = []
    for metric, weight in weights.items():
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            part = AutoSegLoss(metric, theta[metric], loss_weight=3 * weight, **options)
        parts.append(loss_and_grad(part, pred, target))
    torch.testing.assert_close(whole[0], sum(value for value, _ in parts))
    torch.testing.assert_close(whole[1], sum(grad for _, grad in parts))


@pytest.mark.parametrize('metric', ['BIoU', 'BF1', {'BIoU': 1, 'BF1': 1}])
def test_boundary_metrics_alone_are_warned_of_once_and_never_in_training(metric):
    with pytest.warns(UserWarning, match='alone ruins the regions') as caught:
        loss = AutoSegLoss(metric)
    assert len(caught) == 1 and '\n' not in str(caught[0].message)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        loss(*batch())
        AutoSegLoss({'mIoU': 1, 'BIoU': 1, 'BF1': 1})
        AutoSegLoss('gAcc')


def test_diagonal_curves_give_the_soft_metric():
    pred, target = batch(dtype=torch.float64)
    target = target.clamp(max=3)
    value = AutoSegLoss({'gAcc': 1.0, 'mAcc': 1.0}, 'diagonal')(pred, target)
    own = pred.softmax(1).gather(1, target[:, None])[:, 0]
    mean = torch.stack([own[target == c].mean() for c in range(4)]).mean()
    torch.testing.assert_close(value, 2 - own.mean() - mean)


BAD = [
    ({'target_metric': 'IoU'}, "target_metric must be one or more of mIoU, .* got 'IoU'"),
    ({'target_metric': {}}, 'target_metric must be a metric or a dict of metrics'),
    ({'target_metric': ['mIoU', 'BIoU']}, 'target_metric must be a metric or a dict of metrics'),
    ({'target_metric': {'mIoU': 0}}, r'weight of mIoU in target_metric must be > 0, got 0'),
    ({'target_metric': {'mIoU': 'one'}}, 'weight of mIoU in target_metric must be > 0'),
    ({'target_metric': {'mIoU': float('inf')}}, 'weight of mIoU in target_metric must be > 0'),
    ({'tolerance': -1}, 'tolerance must be a whole number of pixels >= 0'),
]


@pytest.mark.parametrize(('arguments', 'message'), BAD)
def test_wrong_arguments_are_refused_in_one_line(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        AutoSegLoss(**arguments)
    assert '\n' not in str(caught.value)


@pytest.mark.filterwarnings(BOUNDARY_ALONE)
@pytest.mark.parametrize('metric', METRICS)
@pytest.mark.parametrize('case', ['ignored', 'no image', 'no weight'])
def test_without_pixels_that_take_part_the_loss_and_its_gradient_are_zero(metric, case):
    pred, target = batch()
    weight = torch.zeros_like(target, dtype=torch.float32) if case == 'no weight' else None
    if case == 'no image':
        pred, target = pred[:0], target[:0]
    elif case == 'ignored':
        target = torch.full_like(target, 255)
    value, grad = loss_and_grad(AutoSegLoss(metric), pred, target, weight=weight)
    assert value == 0 and value.shape == ()
    assert grad.shape == pred.shape and not grad.any()


@pytest.mark.filterwarnings(BOUNDARY_ALONE)
@pytest.mark.parametrize('metric', [m for m in METRICS if m != 'BF1'])
def test_ignored_pixels_change_nothing_and_get_no_gradient(metric):
    pred, target = batch()
    loss = AutoSegLoss(metric)
    value, grad = loss_and_grad(loss, pred, target)
    ignored = (target == 255).unsqueeze(1)
    changed = pred.detach().masked_fill(ignored, float('nan')).requires_grad_()
    other_value, other_grad = loss_and_grad(loss, changed, target)
    assert torch.equal(other_value, value) and torch.equal(other_grad, grad)
    assert not grad.masked_select(ignored).any() and grad.masked_select(~ignored).any()
    relabelled = target.masked_fill(target == 255, 7)
    assert torch.equal(loss(pred, relabelled, ignore_index=7), value)


@pytest.mark.parametrize('metric', ['mIoU', 'FWIoU', 'mAcc', 'gAcc'])
def test_a_weight_of_two_counts_a_pixel_twice(metric):
    pred, target = batch(dtype=torch.float64)
    weight = torch.ones_like(target, dtype=torch.float64)
    weight[1] = 2
    loss = AutoSegLoss(metric)
    twice = loss(torch.cat([pred, pred[1:]]), torch.cat([target, target[1:]]))
    torch.testing.assert_close(loss(pred, target, weight=weight), twice)


@pytest.mark.parametrize('drop', [False, True])
def test_one_channel_is_the_foreground_of_two_classes(drop):
    pred, target = batch(num_classes=1, dtype=torch.float64)
    loss = AutoSegLoss({'mIoU': 1, 'BIoU': 1, 'BF1': 1}, drop_background=drop)
    value, grad = loss_and_grad(loss, pred, target)
    both = torch.cat([torch.zeros_like(pred), pred], 1)
    torch.testing.assert_close(value, loss(both, target).detach())
    torch.testing.assert_close(value, loss(pred, target.unsqueeze(1)).detach())
    assert grad.any()


@pytest.mark.filterwarnings('ignore:AutoSegLoss. BIoU alone')
@pytest.mark.parametrize(('drop', 'first'), [(True, 20), (False, 9)])
def test_the_edges_of_the_background_can_be_left_out(drop, first):
    # An object behind a strip that is ignored, as in the masks of VOC
    target = torch.zeros(1, 1, 40, dtype=torch.long)
    target[..., 15:20], target[..., 20:] = 255, 1
    pred = torch.zeros(1, 2, 1, 40, requires_grad=True)
    AutoSegLoss('BIoU', drop_background=drop)(pred, target).backward()
    reached = pred.grad[0, 0, 0].nonzero().flatten().tolist()
    assert reached == [*range(first, 15), *range(20, 26)]


@pytest.mark.parametrize('space', [(), (7,), (3, 4, 5)])
def test_metrics_of_regions_take_any_space_and_those_of_edges_images_only(space):
    pred, target = torch.randn(6, 3, *space), torch.randint(0, 3, (6, *space))
    for metric in ('mIoU', 'FWIoU', 'mAcc', 'gAcc'):
        assert AutoSegLoss(metric)(pred, target).isfinite()
    with pytest.raises(ValueError, match='2 dimensions of space'):
        AutoSegLoss({'mIoU': 1, 'BIoU': 1})(pred, target)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_is_computed_in_single_under_autocast_too(dtype):
    loss = AutoSegLoss({'mIoU': 1, 'BF1': 1, 'mAcc': 1})
    pred, target = batch(dtype=dtype)
    value, grad = loss_and_grad(loss, pred, target)
    expected, expected_grad = loss_and_grad(loss, pred.detach().float().requires_grad_(), target)
    assert value.dtype == torch.float32 and torch.equal(value, expected)
    torch.testing.assert_close(grad, expected_grad.to(dtype))
    with torch.autocast('cpu', torch.bfloat16):
        assert torch.equal(loss(pred, target).detach(), expected)


def test_extreme_logits_give_finite_gradients():
    pred, target = batch()
    for scale in (0.0, 1e4, 1e30):
        logits = (pred.detach() * scale).requires_grad_()
        loss = AutoSegLoss({'mIoU': 1, 'BIoU': 1, 'BF1': 1, 'mAcc': 1, 'gAcc': 1, 'FWIoU': 1})
        value, grad = loss_and_grad(loss, logits, target)
        assert value.isfinite() and grad.isfinite().all()


def test_it_is_the_same_loss_on_any_device_layout_and_after_a_copy(device):
    pred, target = batch(device=device)
    loss = AutoSegLoss({'mIoU': 1, 'BF1': 1})
    value, grad = loss_and_grad(copy.deepcopy(loss), pred, target)
    cpu_value, cpu_grad = loss_and_grad(loss, pred.detach().cpu().requires_grad_(), target.cpu())
    torch.testing.assert_close(value.cpu(), cpu_value)
    torch.testing.assert_close(grad.cpu(), cpu_grad)
    last = pred.detach().to(memory_format=torch.channels_last).requires_grad_()
    torch.testing.assert_close(loss_and_grad(loss, last, target), (value, grad))


@pytest.mark.parametrize('metric', ['mIoU', 'FWIoU', 'gAcc', {'mIoU': 1, 'BIoU': 1, 'BF1': 1}])
def test_following_the_gradient_brings_the_prediction_to_the_target(metric):
    _, target = batch()
    pred = torch.zeros(2, 4, 8, 10, requires_grad=True)
    optimizer = torch.optim.Adam([pred], lr=0.3)
    loss = AutoSegLoss(metric)
    for _ in range(60):
        optimizer.zero_grad()
        loss(pred, target).backward()
        optimizer.step()
    valid = target != 255
    assert (pred.argmax(1) == target)[valid].float().mean() > 0.95
    assert cross_entropy(pred, target, ignore_index=255) < 1


def test_its_name_and_its_metrics_are_shown():
    loss = AutoSegLoss({'mIoU': 1, 'BIoU': 0.5}, loss_name='loss_both')
    assert loss.loss_name == 'loss_both'
    assert "target_metric={'mIoU': 1.0, 'BIoU': 0.5}, tolerance=5" in repr(loss)
    assert not list(loss.parameters()) and not loss.state_dict()
