import math

import pytest
import torch
from loss_batches import gradients, random_ranking
from mmdet.models.losses import CIoULoss, DIoULoss, GIoULoss, IoULoss, L1Loss
from mmdet.registry import MODELS

from mmdet_alrp.models.losses import ALRPLoss
from mmdet_alrp.ranking import alrp_loss

BOX = [0.0, 0.0, 10.0, 10.0]
LINEAR_IOU = {'type': 'IoULoss', 'mode': 'linear'}
BOX_LOSSES = [LINEAR_IOU, {'type': 'GIoULoss'}, {'type': 'DIoULoss'}, {'type': 'CIoULoss'}]


def scaled_errors(config, boxes, tau=0.5):
    """E of predicted `boxes` whose ground truth is BOX."""
    box_loss = MODELS.build(config)
    boxes = torch.tensor(boxes)
    losses = box_loss(boxes, torch.tensor([BOX] * len(boxes)), reduction_override='none')
    loss = ALRPLoss(tau=tau)
    loss.check_box_loss(box_loss, decoded=True)
    return loss.loc_errors(losses)


@pytest.mark.parametrize('name', ['ALRPLoss', 'aLRPLoss'])
def test_both_names_are_in_the_registry(name):
    assert MODELS.get(name) is ALRPLoss
    assert isinstance(MODELS.build({'type': name, 'use_sigmoid': True}), ALRPLoss)


@pytest.mark.parametrize('delta', [0.0, 0.5, 1.0])
@pytest.mark.parametrize('loss_weight', [1.0, 0.2])
def test_module_is_the_function_times_its_weights(delta, loss_weight, device):
    logits, targets, loc_errors = (part.to(device) for part in random_ranking())
    logits.requires_grad_()
    loc_errors.requires_grad_()
    loss = ALRPLoss(delta=delta, loss_weight=loss_weight, initial_ratio=3.0).to(device)
    losses = loss(logits, targets, loc_errors)  # GIoU and tau .5: the box loss is the error
    grads = gradients(losses, logits, loc_errors)

    expected_cls, expected_loc = alrp_loss(logits, targets, loc_errors, delta)
    expected = torch.autograd.grad(expected_cls + 3 * expected_loc, [logits, loc_errors])
    torch.testing.assert_close(losses.loss_cls, loss_weight * expected_cls)
    torch.testing.assert_close(losses.loss_bbox, 3 * loss_weight * expected_loc)
    assert set(losses.log) == {'loc_error', 'self_balance_ratio'}
    torch.testing.assert_close(losses.log['loc_error'], expected_loc.detach())
    assert losses.log['self_balance_ratio'] == 3
    assert not any(value.requires_grad for value in losses.log.values())
    torch.testing.assert_close(grads[0], loss_weight * expected[0])
    torch.testing.assert_close(grads[1], loss_weight * expected[1])
    assert expected[0].abs().sum() > 0 and expected[1].abs().sum() > 0


def test_default_delta_is_one():
    ranking = random_ranking()
    assert ALRPLoss()(*ranking)[0] == alrp_loss(*ranking, delta=1.0)[0]
    assert ALRPLoss()(*ranking)[0] != alrp_loss(*ranking, delta=0.5)[0]


def test_balance_weighs_the_localisation_part_by_50_at_first():
    losses = ALRPLoss()(*random_ranking())
    torch.testing.assert_close(losses.loss_bbox, 50 * losses.log['loc_error'])
    torch.testing.assert_close(losses.loss_cls, alrp_loss(*random_ranking())[0])


@pytest.mark.parametrize(
    ('options', 'ratio'),
    [
        ({'self_balance': False}, 1.0),
        ({'self_balance': False, 'initial_ratio': 7.0}, 7.0),
        ({'self_balance': True, 'initial_ratio': 7.0}, 7.0),
    ],
)
def test_ratio_without_or_with_another_start(options, ratio):
    loss = ALRPLoss(**options)
    losses = loss(*random_ranking())
    torch.testing.assert_close(losses.loss_bbox, ratio * losses.log['loc_error'])
    assert loss.balance.sums.any() == options['self_balance']


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_predictions(dtype):
    logits, targets, loc_errors = random_ranking()
    loss = ALRPLoss()
    half = loss(logits.to(dtype), targets, loc_errors)
    for ours, full in zip(half[:2], loss(logits, targets, loc_errors)[:2], strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, full, rtol=1e-2, atol=1e-2)
    assert loss.balance.sums.dtype == torch.float32


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'tau': 1.0}, r'tau must be an IoU in \[0, 1\), got 1.0'),
        ({'tau': -0.1}, 'tau must be'),
        ({'tau': math.nan}, 'tau must be'),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        ALRPLoss(**options)


@pytest.mark.parametrize('config', BOX_LOSSES, ids=lambda config: config['type'])
def test_perfect_box_has_no_error(config):
    # nearly perfect: MMDetection's CIoULoss is 0 / 0 where prediction and target are equal
    errors = scaled_errors(config, [[0.0, 0.0, 10.0, 9.999]])
    torch.testing.assert_close(errors, torch.zeros(1), rtol=0, atol=1e-3)


@pytest.mark.parametrize(('tau', 'width'), [(0.5, 5.0), (0.7, 7.0), (0.0, 1e-3)])
def test_error_of_the_iou_loss_is_1_at_tau(tau, width):
    # a box of the ground truth's height: its IoU is its share of the width
    errors = scaled_errors(LINEAR_IOU, [[0.0, 0.0, width, 10.0]], tau)
    torch.testing.assert_close(errors, torch.ones(1), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(('tau', 'expected'), [(0.5, 0.5), (0.7, 0.5 / 0.6)])
def test_error_of_the_giou_loss(tau, expected):
    # half of the box and nothing else: GIoU = IoU = .5, E = (1 - .5) / 2 / (1 - tau)
    errors = scaled_errors({'type': 'GIoULoss'}, [[0.0, 0.0, 5.0, 10.0]], tau)
    torch.testing.assert_close(errors, torch.tensor([expected]))


def test_error_of_the_diou_loss():
    # IoU .5, centres 2.5 apart, enclosing diagonal 10 sqrt 2: DIoU = .5 - 6.25 / 200
    errors = scaled_errors({'type': 'DIoULoss'}, [[0.0, 0.0, 5.0, 10.0]])
    torch.testing.assert_close(errors, torch.tensor([1 - (0.5 - 6.25 / 200)]))


def test_error_of_the_ciou_loss():
    # as DIoU, and the aspect term v^2 / (1 - IoU + v) weighted in where IoU > .5
    errors = scaled_errors({'type': 'CIoULoss'}, [[0.0, 0.0, 6.0, 10.0]])
    aspect = 4 / math.pi**2 * (math.atan(1) - math.atan(0.6)) ** 2
    ciou = 0.6 - 4 / 200 - aspect**2 / (1 - 0.6 + aspect)
    torch.testing.assert_close(errors, torch.tensor([1 - ciou]))


@pytest.mark.parametrize(
    'box_loss',
    [IoULoss(mode='linear'), IoULoss(linear=True), GIoULoss(), DIoULoss(), CIoULoss()],
    ids=['mode', 'linear', 'giou', 'diou', 'ciou'],
)
def test_fitting_box_losses_pass(box_loss):
    ALRPLoss().check_box_loss(box_loss, decoded=True)


@pytest.mark.parametrize(
    ('box_loss', 'message'),
    [
        (L1Loss(), 'IoULoss, GIoULoss, DIoULoss, CIoULoss to measure localisation, got L1Loss'),
        (IoULoss(), "IoULoss.*mode='linear'.*got mode='log'"),
        (IoULoss(mode='square'), "got mode='square'"),
        (GIoULoss(loss_weight=2.0), r'loss_weight=1\.0.*got 2\.0'),
        (IoULoss(mode='linear', loss_weight=0.5), r'got 0\.5'),
    ],
    ids=['l1', 'log', 'square', 'heavy', 'light'],
)
def test_box_losses_that_give_no_localisation_error(box_loss, message):
    with pytest.raises(ValueError, match=message):
        ALRPLoss().check_box_loss(box_loss, decoded=True)


def test_boxes_must_be_decoded():
    with pytest.raises(ValueError, match=r'ALRPLoss .* boxes.*reg_decoded_bbox=True'):
        ALRPLoss().check_box_loss(GIoULoss(), decoded=False)


def test_range_of_the_box_loss_is_learnt_by_the_check():
    loss, box_losses = ALRPLoss(self_balance=False), random_ranking()[2]
    for box_loss, factor in ((IoULoss(mode='linear'), 2.0), (GIoULoss(), 1.0)):
        loss.check_box_loss(box_loss, decoded=True)
        torch.testing.assert_close(loss.loc_errors(box_losses), factor * box_losses)
