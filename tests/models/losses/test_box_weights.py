"""How APLoss and NDCGLoss weight their box loss."""

import pytest
import torch
from loss_batches import gradients, random_ranking

from mmdet_alrp.models.losses import APLoss, NDCGLoss
from mmdet_alrp.ranking import average_precision_loss

CASE = random_ranking(dtype=torch.float64)


def test_interpolation_by_keyword():
    # a lower positive that has the better precision, so that the two forms differ
    logits, targets = torch.tensor([3.0, 2.0, 1.0]), torch.tensor([0, 1, 1])
    for interpolated in (True, False):
        loss = APLoss(interpolated=interpolated)(logits, targets, torch.zeros(2))
        assert loss.loss_cls == average_precision_loss(logits, targets, 1.0, interpolated)
    plain = APLoss(interpolated=False)(logits, targets, torch.zeros(2)).loss_cls
    assert APLoss()(logits, targets, torch.zeros(2)).loss_cls < plain


@pytest.mark.parametrize(
    ('options', 'ratio'),
    [
        ({}, 1.0),
        ({'initial_ratio': 7.0}, 7.0),
        ({'self_balance': True}, 50.0),
        ({'self_balance': True, 'initial_ratio': 7.0, 'loss_weight': 0.5}, 3.5),
    ],
    ids=str,
)
@pytest.mark.parametrize('kind', [APLoss, NDCGLoss])
def test_mean_over_the_positives_times_the_ratio(kind, options, ratio):
    logits, targets, box_losses = CASE
    box_losses = box_losses.clone().requires_grad_()
    loss = kind(**options)
    losses = loss(logits.clone().requires_grad_(), targets, box_losses)
    torch.testing.assert_close(losses.loss_bbox, ratio * box_losses.mean())
    torch.testing.assert_close(losses.log['loc_error'], box_losses.detach().mean())
    (grad,) = gradients(losses, box_losses)
    torch.testing.assert_close(grad, torch.full_like(grad, ratio / len(grad)))
    assert loss.balance.sums.any() == bool(options.get('self_balance'))


@pytest.mark.parametrize('kind', [APLoss, NDCGLoss])
def test_self_balance_notes_the_bare_losses(kind):
    loss = kind(self_balance=True, loss_weight=0.2)
    found = loss(*CASE)
    expected = torch.stack([found.loss_cls / 0.2, CASE[2].mean()]).float()
    torch.testing.assert_close(loss.balance.sums, expected)
    loss(CASE[0], torch.zeros_like(CASE[1]), CASE[2][:0])
    torch.testing.assert_close(loss.balance.sums, expected)
