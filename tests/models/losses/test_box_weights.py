"""How APLoss, NDCGLoss and RankSortLoss weight their box loss."""

import pytest
import torch
from loss_batches import gradients, random_ranking

from mmdet_alrp.models.losses import APLoss, NDCGLoss, RankSortLoss
from mmdet_alrp.ranking import average_precision_loss, rank_sort_loss

CASE = random_ranking(dtype=torch.float64)
IOUS = torch.linspace(0.2, 0.9, len(CASE[2]), dtype=torch.float64)


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


@pytest.mark.parametrize('loss_weight', [1.0, 0.4])
def test_rank_sort_lifts_the_box_loss_to_its_own_value(loss_weight):
    logits, targets, box_losses = CASE
    box_losses = box_losses.clone().requires_grad_()
    losses = RankSortLoss(loss_weight=loss_weight)(logits, targets, box_losses, IOUS)
    loss_rank, loss_sort = rank_sort_loss(logits, targets, IOUS)
    value = loss_rank + loss_sort
    torch.testing.assert_close(losses.loss_cls, loss_weight * value)
    torch.testing.assert_close(losses.loss_bbox, losses.loss_cls)
    (grad,) = torch.autograd.grad(losses.loss_bbox, box_losses)
    share = loss_weight * value / box_losses.detach().sum()  # the ratio itself is no path
    torch.testing.assert_close(grad, share.expand_as(grad))
    torch.testing.assert_close(losses.log['rank_error'], loss_rank)
    torch.testing.assert_close(losses.log['sort_error'], loss_sort)


def test_the_ratio_of_rank_sort_sends_nothing_to_the_logits():
    logits, targets, box_losses = CASE
    logits = logits.clone().requires_grad_()
    losses = RankSortLoss()(logits, targets, box_losses.clone().requires_grad_(), IOUS)
    (both,) = torch.autograd.grad(losses.loss_cls + losses.loss_bbox, logits, retain_graph=True)
    (alone,) = torch.autograd.grad(losses.loss_cls, logits)
    torch.testing.assert_close(both, alone, rtol=0, atol=0)


def test_rank_sort_with_perfect_boxes():
    logits, targets, box_losses = CASE
    none = torch.zeros_like(box_losses).requires_grad_()
    losses = RankSortLoss()(logits, targets, none, torch.ones_like(IOUS))
    (grad,) = torch.autograd.grad(losses.loss_bbox, none)
    assert losses.loss_bbox.item() == 0 and torch.isfinite(grad).all()


def test_rank_sort_asks_for_ious():
    with pytest.raises((TypeError, ValueError), match='IoU'):
        RankSortLoss()(*CASE)
