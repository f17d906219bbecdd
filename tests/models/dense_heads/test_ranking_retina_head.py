import logging

import pytest
import torch
from mmdet.models.losses.iou_loss import giou_loss
from mmengine.logging import MMLogger
from mmengine.model import BaseModel
from tiny_heads import (
    ASSIGNERS,
    ATSS,
    MAX_IOU,
    batch,
    boxes_of,
    features,
    gather_by_hand,
    tiny_head,
)

from mmdet_alrp.models.dense_heads.ranking_head_mixin import STEPS_WITHOUT_POSITIVES
from mmdet_alrp.ranking import alrp_loss

ALL_IGNORED = [boxes_of([0, 0, 64, 64]), boxes_of([0, 0, 64, 64])]
CORNER_IGNORED = [boxes_of([32, 0, 64, 32]), boxes_of()]
NO_BOXES = [boxes_of(), boxes_of()]


def losses_by_hand(head, outputs, truths, metas, **options):
    logits, targets, boxes, true_boxes = gather_by_hand(head, outputs, truths, metas, **options)
    loc_errors = giou_loss(boxes, true_boxes, reduction='none', eps=1e-6)
    loss_cls, loss_loc = alrp_loss(logits, targets, loc_errors)
    return loss_cls, loss_loc, int((targets == 1).sum()), int((targets == -1).sum())


def gradients(loss, head):
    parts = torch.autograd.grad(loss, list(head.parameters()), allow_unused=True, retain_graph=True)
    names = [name for name, _ in head.named_parameters()]
    return dict(zip(names, parts, strict=True))


def assert_head_is_the_core(head, truths, metas, ignored=None, **options):
    """Losses and gradients; returns the numbers of positive and ignored logits."""
    outputs = head(features())
    losses = head.loss_by_feat(*outputs, truths, metas, ignored)
    loss_cls, loss_loc, num_pos, num_ignored = losses_by_hand(
        head, outputs, truths, metas, ignored=ignored, **options
    )
    torch.testing.assert_close(losses['loss_cls'], loss_cls)
    torch.testing.assert_close(losses['loc_error'], loss_loc.detach())
    torch.testing.assert_close(losses['loss_bbox'], 50 * loss_loc)
    ours = gradients(losses['loss_cls'] + losses['loss_bbox'], head)
    expected = gradients(loss_cls + 50 * loss_loc, head)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)
    return num_pos, num_ignored


@pytest.mark.parametrize('assigner', ASSIGNERS.values(), ids=ASSIGNERS)
@pytest.mark.parametrize(('num_classes', 'labels'), [(3, ((0, 2), (1,))), (1, ((0, 0), (0,)))])
def test_head_is_the_core_on_its_predictions(assigner, num_classes, labels):
    head = tiny_head(assigner=assigner, num_classes=num_classes)
    num_pos, _ = assert_head_is_the_core(head, *batch(labels), assigner=assigner)
    assert num_pos > 0


@pytest.mark.parametrize('assigner', ASSIGNERS.values(), ids=ASSIGNERS)
@pytest.mark.parametrize('border', [-1, 0, 12])
@pytest.mark.parametrize(
    ('shapes', 'pad_shapes'),
    [
        (((64, 64), (60, 56)), ((64, 64), (64, 64))),
        (((64, 64), (48, 52)), ((64, 64), (48, 64))),
        (((40, 64), (64, 48)), ((40, 64), (64, 48))),
    ],
)
def test_padding_and_border(assigner, border, shapes, pad_shapes):
    head = tiny_head(assigner=assigner, border=border)
    truths, metas = batch(shapes=shapes, pad_shapes=pad_shapes)
    num_pos, _ = assert_head_is_the_core(head, truths, metas, assigner=assigner, border=border)
    assert num_pos > 0


@pytest.mark.parametrize('assigner', ASSIGNERS.values(), ids=ASSIGNERS)
def test_ignored_boxes_take_anchors_out(assigner):
    head = tiny_head(assigner=assigner)
    _, few = assert_head_is_the_core(head, *batch(), assigner=assigner)
    _, more = assert_head_is_the_core(head, *batch(), ignored=CORNER_IGNORED, assigner=assigner)
    assert more > few


@pytest.mark.parametrize('assigner', ASSIGNERS.values(), ids=ASSIGNERS)
def test_image_without_boxes(assigner):
    truths, metas = batch()
    num_pos, _ = assert_head_is_the_core(
        tiny_head(assigner=assigner), [truths[0], boxes_of()], metas, assigner=assigner
    )
    assert num_pos > 0


@pytest.mark.parametrize('assigner', ASSIGNERS.values(), ids=ASSIGNERS)
@pytest.mark.parametrize('ignored', [None, ALL_IGNORED], ids=['empty', 'ignored'])
def test_batch_without_boxes_gives_every_parameter_a_zero_gradient(assigner, ignored):
    head = tiny_head(assigner=assigner)
    losses = head.loss_by_feat(*head(features()), NO_BOXES, batch()[1], ignored)
    loss, _ = BaseModel.parse_losses(head, losses)
    assert loss == 0
    loss.backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad == 0).all(), name


@pytest.mark.parametrize('num_classes', [1, 3])
def test_each_loss_trains_its_own_branch(num_classes):
    head = tiny_head(num_classes=num_classes)
    losses = head.loss_by_feat(*head(features()), *batch(((0, 0), (0,))))
    for key, trained, other in [('loss_cls', 'cls', 'reg'), ('loss_bbox', 'reg', 'cls')]:
        grads = gradients(losses[key], head)
        assert all(grad.any() for name, grad in grads.items() if trained in name)
        assert not any(
            grad is not None and grad.any() for name, grad in grads.items() if other in name
        )


def test_loss_dict_sums_the_two_losses_and_logs_the_rest():
    head = tiny_head()
    losses = head.loss_by_feat(*head(features()), *batch())
    assert set(losses) == {'loss_cls', 'loss_bbox', 'loc_error', 'self_balance_ratio'}
    total, log_vars = BaseModel.parse_losses(head, losses)
    torch.testing.assert_close(total, losses['loss_cls'] + losses['loss_bbox'])
    assert {'loc_error', 'self_balance_ratio'} <= set(log_vars)
    assert losses['self_balance_ratio'] == 50
    torch.testing.assert_close(
        losses['loc_error'] * losses['self_balance_ratio'], losses['loss_bbox'].detach()
    )
    assert not losses['loc_error'].requires_grad


def test_logged_ratio_is_that_of_its_step():
    head = tiny_head()
    losses = head.loss_by_feat(*head(features()), *batch())
    head.loss_cls.balance.ratio.fill_(3.0)
    assert losses['self_balance_ratio'] == 50


@pytest.mark.parametrize('kind', ['RankingRetinaHead', 'RetinaATSSHead', 'RetinaHead'])
@pytest.mark.parametrize('assigner', ASSIGNERS.values(), ids=ASSIGNERS)
def test_head_without_train_cfg_predicts(kind, assigner):
    head = tiny_head(kind, assigner=assigner, training=False).eval()
    metas = [{**meta, 'ori_shape': (64, 64), 'scale_factor': (1, 1)} for meta in batch()[1]]
    with torch.no_grad():
        results = head.predict_by_feat(*head(features()), batch_img_metas=metas)
    assert [len(result) for result in results] == [10, 10]
    assert all(result.bboxes.isfinite().all() for result in results)


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'loss_cls': {'type': 'ALRPLoss'}}, 'loss_cls needs use_sigmoid=True'),
        ({'reg_decoded_bbox': False}, 'set reg_decoded_bbox=True'),
        ({'loss_bbox': {'type': 'L1Loss'}}, 'got L1Loss'),
        ({'loss_bbox': {'type': 'IoULoss'}}, "got mode='log'"),
        ({'loss_bbox': {'type': 'GIoULoss', 'loss_weight': 2.0}}, 'got 2.0'),
    ],
)
def test_losses_that_do_not_fit(changes, message, training):
    with pytest.raises(ValueError, match=message):
        tiny_head(training=training, **changes)


@pytest.mark.parametrize(
    'loss_bbox',
    [{'type': 'IoULoss', 'mode': 'linear'}, {'type': 'DIoULoss'}, {'type': 'CIoULoss'}],
    ids=lambda config: config['type'],
)
def test_other_box_losses_train(loss_bbox):
    head = tiny_head(loss_bbox=loss_bbox)
    losses = head.loss_by_feat(*head(features()), *batch())
    giou = tiny_head()
    assert losses['loss_cls'] == giou.loss_by_feat(*giou(features()), *batch())['loss_cls']
    assert 0 < losses['loc_error'] < 2
    assert gradients(losses['loss_bbox'], head)['retina_reg.weight'].any()


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_half_precision_predictions(dtype):
    head = tiny_head()
    full = head.loss_by_feat(*head(features()), *batch())
    outputs = [[level.to(dtype) for level in part] for part in head(features())]
    half = head.loss_by_feat(*outputs, *batch())
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.02)
    grads = gradients(half['loss_cls'] + half['loss_bbox'], head)
    assert all(grad.isfinite().all() and grad.any() for grad in grads.values())


def test_bfloat16_autocast():
    head = tiny_head()
    full = head.loss_by_feat(*head(features()), *batch())
    with torch.autocast('cpu', torch.bfloat16):
        outputs = head(features())
        assert outputs[0][0].dtype == torch.bfloat16
        half = head.loss_by_feat(*outputs, *batch())
    torch.testing.assert_close(half, full, rtol=0.05, atol=0.02)
    grads = gradients(half['loss_cls'] + half['loss_bbox'], head)
    assert all(grad.isfinite().all() and grad.any() for grad in grads.values())


@pytest.fixture
def warnings_of_the_log():
    """Messages of MMEngine's current logger from WARNING upwards."""
    messages = []
    # What the loss says of a missing SelfBalanceHook is not looked at here.
    handler = logging.Handler(logging.WARNING)
    handler.addFilter(lambda record: 'SelfBalanceHook' not in record.getMessage())
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield messages
    logger.removeHandler(handler)


@pytest.mark.parametrize('assigner', [MAX_IOU, ATSS], ids=ASSIGNERS)
def test_steps_without_positives_warn_once_and_name_the_assigner(assigner, warnings_of_the_log):
    head = tiny_head(assigner=assigner)
    outputs, metas = head(features()), batch()[1]
    for _ in range(STEPS_WITHOUT_POSITIVES - 1):
        head.loss_by_feat(*outputs, NO_BOXES, metas)
    assert not warnings_of_the_log
    for _ in range(2 * STEPS_WITHOUT_POSITIVES):
        head.loss_by_feat(*outputs, NO_BOXES, metas)
    (message,) = warnings_of_the_log
    assert f'no positive in {STEPS_WITHOUT_POSITIVES} training steps in a row' in message
    assert assigner['type'] in message


def test_a_positive_now_and_then_keeps_the_head_silent(warnings_of_the_log):
    head = tiny_head()
    outputs, (truths, metas) = head(features()), batch()
    for step in range(2 * STEPS_WITHOUT_POSITIVES):
        rare = step % (STEPS_WITHOUT_POSITIVES - 1) == 0
        head.loss_by_feat(*outputs, truths if rare else NO_BOXES, metas)
    assert not warnings_of_the_log
