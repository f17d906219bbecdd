import pytest
import torch
from mmdet.models.losses import FocalLoss, GIoULoss
from torch import nn

from mmdet_alrp.models.dense_heads.loss_recorder import LossRecorder, join_records, recording

SCORES = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([3, 0, 3, 2])


def recorders():
    return LossRecorder(FocalLoss(use_sigmoid=True)), LossRecorder(GIoULoss())


def test_recorder_notes_a_call_and_returns_a_zero_without_graph():
    loss, _ = recorders()
    scores, weights = SCORES.clone().requires_grad_(), torch.ones(4)
    value = loss(scores, LABELS, weights, avg_factor=3)
    assert value == 0 and value.shape == () and not value.requires_grad
    (call,) = loss.calls
    assert call.pred is scores and call.target is LABELS and call.weight is weights
    assert call.priors is None


def test_recorder_answers_for_its_loss():
    loss, _ = recorders()
    assert loss.use_sigmoid is True and loss.loss_weight == 1.0
    assert not hasattr(loss, 'get_accuracy')


def test_losses_are_back_after_an_error():
    head = nn.Module()
    head.loss_cls, head.loss_bbox, head.other = FocalLoss(), GIoULoss(), nn.Identity()
    before = dict(head.named_children())
    with pytest.raises(RuntimeError, match='stop'), recording(head) as (loss_cls, loss_bbox):
        assert head.loss_cls is loss_cls and head.loss_bbox is loss_bbox
        raise RuntimeError('stop')
    assert dict(head.named_children()) == before and list(before) == list(head._modules)


@pytest.mark.parametrize('weights', [None, torch.tensor([1.0, 0, 2, 1])])
@pytest.mark.parametrize('quality', [False, True])
def test_calls_are_joined_in_their_order(weights, quality):
    loss_cls, loss_bbox = recorders()
    for part in (slice(0, 1), slice(1, 4)):
        target = (LABELS[part], torch.rand(4)[part]) if quality else LABELS[part]
        loss_cls(SCORES[part], target, weight=None if weights is None else weights[part])
    boxes = torch.rand(2, 4)
    loss_bbox(boxes[:1], boxes[:1] + 1)
    loss_bbox(boxes[1:], boxes[1:] + 1, torch.ones(1, 4), avg_factor=7)
    recorded = join_records(loss_cls, loss_bbox)
    torch.testing.assert_close(recorded.cls_score, SCORES)
    torch.testing.assert_close(recorded.labels, LABELS)
    expected = torch.ones(4) if weights is None else weights
    torch.testing.assert_close(recorded.label_weights.float(), expected)
    torch.testing.assert_close(recorded.bbox_pred, boxes)
    torch.testing.assert_close(recorded.bbox_targets, boxes + 1)
    assert recorded.priors is None


def test_no_call_of_the_box_loss_is_no_box():
    loss_cls, loss_bbox = recorders()
    loss_cls(SCORES, LABELS)
    assert join_records(loss_cls, loss_bbox).bbox_pred is None


@pytest.mark.parametrize(
    ('scores', 'target', 'weights'),
    [
        (SCORES, torch.rand(4, 3), None),  # a score for each class, as of VarifocalNet
        (SCORES, LABELS, torch.ones(4, 3)),
        (SCORES[:, 0], LABELS, None),
        (SCORES, LABELS[:3], None),
    ],
)
def test_classification_that_cannot_be_ranked(scores, target, weights):
    loss_cls, loss_bbox = recorders()
    loss_cls(scores, target, weights)
    with pytest.raises(ValueError, match=r'class indices \(n,\)'):
        join_records(loss_cls, loss_bbox)


def test_head_that_does_not_call_its_loss():
    with pytest.raises(ValueError, match=r'calls self\.loss_cls'):
        join_records(*recorders())
