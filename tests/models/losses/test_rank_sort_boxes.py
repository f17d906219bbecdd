"""What RankSortLoss makes of the boxes: their weights, boxes that miss, labels that are no IoU."""

import pytest
import torch
from loss_batches import random_ranking

from mmdet_alrp.models.losses import RankSortLoss
from mmdet_alrp.ranking import rank_sort_loss

LOGITS, TARGETS, BOX_LOSSES = random_ranking(dtype=torch.float64)
NUM_POS = len(BOX_LOSSES)
IOUS = torch.linspace(0.2, 0.9, NUM_POS, dtype=torch.float64)
SCORES = torch.linspace(0.1, 0.99, NUM_POS, dtype=torch.float64) ** 3


def run(loss, logits=LOGITS, box_losses=BOX_LOSSES, ious=IOUS, scores=SCORES, **more):
    return loss(logits, TARGETS, box_losses, ious, box_scores=scores, **more)


@pytest.mark.parametrize('loss_weight', [1.0, 0.4])
@pytest.mark.parametrize('weighted', [True, False])
def test_box_gradients_are_the_scores_shares_of_the_classification_loss(weighted, loss_weight):
    boxes = BOX_LOSSES.clone().requires_grad_()
    loss = RankSortLoss(loss_weight=loss_weight, score_weighted_boxes=weighted)
    losses = run(loss, box_losses=boxes)
    loss_rank, loss_sort = rank_sort_loss(LOGITS, TARGETS, IOUS)
    value = float(loss_rank + loss_sort)
    torch.testing.assert_close(losses.loss_bbox, losses.loss_cls)
    (grad,) = torch.autograd.grad(losses.loss_bbox, boxes)
    weights = SCORES.tolist() if weighted else [1.0] * NUM_POS
    total = sum(w * v for w, v in zip(weights, BOX_LOSSES.tolist(), strict=True))
    expected = [loss_weight * value * w / total for w in weights]
    torch.testing.assert_close(grad, torch.tensor(expected, dtype=torch.float64))
    mean = total / sum(weights)
    assert losses.log['loc_error'].item() == pytest.approx(mean)
    assert losses.log['balance_ratio'].item() == pytest.approx(value / mean)
    torch.testing.assert_close(losses.log['rank_error'], loss_rank)
    torch.testing.assert_close(losses.log['sort_error'], loss_sort)


def test_a_box_that_misses_its_target_is_ranked_as_a_negative_and_trained():
    ious = IOUS.clone()
    ious[[1, 4]] = 0
    logits, boxes = LOGITS.clone().requires_grad_(), BOX_LOSSES.clone().requires_grad_()
    losses = run(RankSortLoss(), logits, boxes, ious)
    places = (TARGETS == 1).nonzero()[:, 0]
    as_negatives = TARGETS.clone()
    as_negatives[places[[1, 4]]] = 0
    plain = LOGITS.clone().requires_grad_()
    expected = sum(rank_sort_loss(plain, as_negatives, ious[ious > 0]))
    torch.testing.assert_close(losses.loss_cls, expected)
    found = torch.autograd.grad(losses.loss_cls, logits, retain_graph=True)
    torch.testing.assert_close(found, torch.autograd.grad(expected, plain))
    (grad,) = torch.autograd.grad(losses.loss_bbox, boxes)
    share = SCORES / (SCORES * BOX_LOSSES).sum()
    torch.testing.assert_close(grad, expected.item() * share)
    assert (grad[[1, 4]] > 0).all()


def test_boxes_that_all_miss_are_trained_with_a_ratio_of_one():
    logits, boxes = LOGITS.clone().requires_grad_(), BOX_LOSSES.clone().requires_grad_()
    losses = run(RankSortLoss(), logits, boxes, torch.zeros_like(IOUS))
    on_logits, on_boxes = torch.autograd.grad(losses.loss_cls + losses.loss_bbox, [logits, boxes])
    assert losses.loss_cls == 0 and (on_logits == 0).all()
    torch.testing.assert_close(on_boxes, SCORES / SCORES.sum())
    assert losses.log['balance_ratio'] == 1


def test_the_ratio_and_the_scores_send_nothing_to_the_logits():
    logits = LOGITS.clone().requires_grad_()
    scores = logits[TARGETS == 1].sigmoid()
    losses = run(RankSortLoss(), logits, BOX_LOSSES.clone().requires_grad_(), scores=scores)
    (both,) = torch.autograd.grad(losses.loss_cls + losses.loss_bbox, logits, retain_graph=True)
    (alone,) = torch.autograd.grad(losses.loss_cls, logits)
    torch.testing.assert_close(both, alone, rtol=0, atol=0)


@pytest.mark.parametrize('weighted', [True, False])
def test_perfect_boxes_and_scores_of_nothing_leave_finite_gradients(weighted):
    loss = RankSortLoss(score_weighted_boxes=weighted)
    for box_losses, scores in ((0 * BOX_LOSSES, SCORES), (BOX_LOSSES, 0 * SCORES)):
        boxes = box_losses.clone().requires_grad_()
        losses = run(loss, box_losses=boxes, scores=scores)
        (grad,) = torch.autograd.grad(losses.loss_bbox, boxes)
        assert torch.isfinite(grad).all() and torch.isfinite(losses.loss_bbox)


def test_what_the_head_must_give():
    with pytest.raises(TypeError, match='needs the IoUs'):
        run(RankSortLoss(), ious=None)
    with pytest.raises(TypeError, match=r'needs box_scores.* score_weighted_boxes=False'):
        run(RankSortLoss(), scores=None)
    run(RankSortLoss(score_weighted_boxes=False), scores=None)


@pytest.mark.parametrize('label', [1.001, 40.0, -0.1])
def test_labels_that_are_no_iou(label):
    ious = IOUS.clone()
    ious[2] = label
    for call in (
        lambda: rank_sort_loss(LOGITS, TARGETS, ious),
        lambda: run(RankSortLoss(), ious=ious),
    ):
        with pytest.raises(ValueError, match=r'ious must be in \[0, 1\], got'):
            call()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32])
def test_an_iou_just_above_one_is_taken_for_rounding(dtype):
    ious = IOUS.to(dtype)
    ious[0] = 1 + 2 * torch.finfo(dtype).eps
    assert all(part.isfinite() for part in rank_sort_loss(LOGITS.float(), TARGETS, ious))


def test_a_label_that_is_not_a_number_is_seen():
    ious = IOUS.clone()
    ious[3] = torch.nan
    assert sum(rank_sort_loss(LOGITS, TARGETS, ious)).isnan()
    assert run(RankSortLoss(), ious=ious).loss_cls.isnan()
