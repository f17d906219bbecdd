import pytest
import torch
from mmdet.models.losses.iou_loss import giou_loss
from mmdet.models.roi_heads import Shared2FCBBoxHead
from mmdet.structures.bbox import bbox2roi
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from tiny_roi_heads import (
    CHANNELS,
    CLASSES,
    RCNN,
    TEST,
    box_head,
    build,
    instances,
    no_proposals,
    proposals,
    sampled,
    truths,
)

from mmdet_alrp.models.roi_heads import RankingBBoxHeadMixin
from mmdet_alrp.ranking import alrp_loss, average_precision_loss

CFG = ConfigDict(RCNN)
METAS = [{'img_shape': (64, 64), 'scale_factor': (1, 1)}] * 2
ELSEWHERE = [InstanceData(bboxes=torch.tensor([[50.0, 2, 60, 8]])) for _ in range(2)]


@pytest.fixture(params=[False, True], ids=['by_class', 'agnostic'])
def agnostic(request):
    return request.param


def roi_features(rois):
    generator = torch.Generator().manual_seed(2)
    return torch.randn(len(rois), CHANNELS, 2, 2, generator=generator)


def run(head, found, true_boxes):
    """Losses, outputs and sampling results of a head on proposals."""
    results = sampled(found, true_boxes)
    rois = bbox2roi([result.priors for result in results])
    outputs = head(roi_features(rois))
    losses = head.loss_and_target(*outputs, rois, results, CFG)['loss_bbox']
    return losses, outputs, results


def by_hand(outputs, results, agnostic, decode):
    """Logits, targets, and predicted and true boxes, proposal by proposal."""
    logits, targets, preds, true_boxes = [], [], [], []
    row = 0
    for result in results:
        for index in range(len(result.priors)):
            is_pos = index < len(result.pos_priors)
            target = torch.zeros(CLASSES, dtype=torch.int8)
            if is_pos:
                label = int(result.pos_gt_labels[index])
                target[label] = 1
                column = 0 if agnostic else 4 * label
                deltas = outputs[1][row, column : column + 4]
                preds.append(decode(result.pos_priors[index][None], deltas[None])[0])
                true_boxes.append(result.pos_gt_bboxes[index])
            logits.append(outputs[0][row])
            targets.append(target)
            row += 1
    return torch.cat(logits), torch.cat(targets), torch.stack(preds), torch.stack(true_boxes)


def gradients(loss, head):
    return torch.autograd.grad(loss, list(head.parameters()), retain_graph=True)


def test_losses_and_gradients_are_those_of_the_core(agnostic):
    head = build(box_head(reg_class_agnostic=agnostic))
    losses, outputs, results = run(head, proposals(), truths())
    assert set(losses) == {'loss_cls', 'loss_bbox', 'loc_error', 'self_balance_ratio'}
    logits, targets, boxes, true_boxes = by_hand(outputs, results, agnostic, head.bbox_coder.decode)
    assert (targets == 1).sum() > 3 and (targets == 0).sum() > 30
    errors = giou_loss(boxes, true_boxes, reduction='none', eps=1e-6)
    loss_cls, loss_loc = alrp_loss(logits, targets, errors)
    torch.testing.assert_close(losses['loss_cls'], loss_cls)
    torch.testing.assert_close(losses['loss_bbox'], 50 * loss_loc)
    ours = gradients(losses['loss_cls'] + losses['loss_bbox'], head)
    expected = gradients(loss_cls + 50 * loss_loc, head)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-4)


def test_smooth_l1_on_deltas(agnostic):
    changes = {'reg_decoded_bbox': False, 'loss_cls': {'type': 'APLoss', 'use_sigmoid': True}}
    smooth_l1 = {'type': 'SmoothL1Loss', 'beta': 1.0}
    head = build(box_head(reg_class_agnostic=agnostic, loss_bbox=smooth_l1, **changes))
    losses, outputs, results = run(head, proposals(), truths())
    logits, targets, deltas, true_boxes = by_hand(
        outputs, results, agnostic, lambda prior, deltas: deltas
    )
    priors = torch.cat([result.pos_priors for result in results])
    wanted = head.bbox_coder.encode(priors, true_boxes)
    box_loss = torch.nn.functional.smooth_l1_loss(deltas, wanted, reduction='none').sum(1).mean()
    torch.testing.assert_close(losses['loss_cls'], average_precision_loss(logits, targets))
    torch.testing.assert_close(losses['loss_bbox'], box_loss)


def test_classifier_has_no_background_column():
    head = build(box_head())
    stock = build(box_head('Shared2FCBBoxHead', loss_cls={'type': 'CrossEntropyLoss'}))
    assert head.fc_cls.out_features == CLASSES
    own = {k: v.shape for k, v in head.state_dict().items() if not k.startswith('loss_cls')}
    theirs = {k: v.shape for k, v in stock.state_dict().items()}
    assert own.keys() == theirs.keys()
    assert {key for key in own if own[key] != theirs[key]} == {'fc_cls.weight', 'fc_cls.bias'}


@pytest.mark.parametrize('scope', ['process', 'image'])
@pytest.mark.parametrize(
    ('found', 'true_boxes'),
    [
        (proposals(), [instances(), instances()]),
        (ELSEWHERE, truths()),
        (no_proposals(), truths()),
        (no_proposals(), [instances(), instances()]),
    ],
    ids=['no ground truth', 'no positive', 'no proposal', 'nothing'],
)
def test_every_parameter_gets_a_gradient_of_zeros(scope, found, true_boxes, agnostic):
    loss = {'type': 'ALRPLoss', 'use_sigmoid': True, 'scope': scope}
    head = build(box_head(reg_class_agnostic=agnostic, loss_cls=loss))
    losses, _, _ = run(head, found, true_boxes)
    assert losses['loss_cls'] == 0 and losses['loss_bbox'] == 0
    (losses['loss_cls'] + losses['loss_bbox']).backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad == 0).all(), name


class LongerLoss(Shared2FCBBoxHead):
    """A head whose loss is not BBoxHead's own."""

    def loss(self, cls_score, *args, **kwargs):
        return {**super().loss(cls_score, *args, **kwargs), 'loss_size': cls_score.square().sum()}


class RankingLongerLoss(RankingBBoxHeadMixin, LongerLoss):
    pass


@pytest.mark.parametrize('found', [proposals(), ELSEWHERE, no_proposals()])
def test_a_parent_with_a_loss_of_its_own_has_the_same_ranking(found, agnostic):
    options = box_head(reg_class_agnostic=agnostic)
    head = build(options)
    del options['type']
    longer = RankingLongerLoss(**options)
    longer.load_state_dict(head.state_dict())
    losses, (scores, _), _ = run(longer, found, truths())
    expected, _, _ = run(head, found, truths())
    torch.testing.assert_close(losses.pop('loss_size'), scores.square().sum())
    torch.testing.assert_close(losses, expected)


@pytest.mark.parametrize('second', [proposals()[1], no_proposals()[1]], ids=['two', 'one'])
def test_one_ranking_an_image_is_the_mean_over_images(second):
    """Also where the last image has no proposal, and so no row that tells of it."""
    found = [proposals()[0], second]
    head = build(box_head(loss_cls={'type': 'ALRPLoss', 'use_sigmoid': True, 'scope': 'image'}))
    losses, outputs, results = run(head, found, truths())
    expected, start = 0, 0
    for result in results:
        rows = slice(start, start + len(result.priors))
        start += len(result.priors)
        if len(result.priors):
            logits, targets, boxes, true_boxes = by_hand(
                [output[rows] for output in outputs], [result], False, head.bbox_coder.decode
            )
            errors = giou_loss(boxes, true_boxes, reduction='none', eps=1e-6)
            expected = expected + torch.stack(alrp_loss(logits, targets, errors)) / 2
    torch.testing.assert_close(losses['loss_cls'], expected[0])
    torch.testing.assert_close(losses['loss_bbox'], 50 * expected[1])


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast(dtype, agnostic):
    head = build(box_head(reg_class_agnostic=agnostic))
    full, _, _ = run(head, proposals(), truths())
    with torch.autocast('cpu', dtype):
        half, outputs, _ = run(head, proposals(), truths())
    assert outputs[0].dtype == dtype
    for key in ('loss_cls', 'loss_bbox'):
        assert half[key].dtype == torch.float32
        torch.testing.assert_close(half[key], full[key], rtol=0.05, atol=0.02)
    assert all(
        grad.isfinite().all() for grad in gradients(half['loss_bbox'] + half['loss_cls'], head)
    )


@pytest.mark.parametrize(
    ('given', 'used'), [(torch.bfloat16, torch.float32), (torch.float64, torch.float64)]
)
def test_boxes_are_compared_in_float32_at_least(agnostic, given, used):
    head = build(box_head(reg_class_agnostic=agnostic))
    results = sampled(proposals(), truths())
    rois = bbox2roi([result.priors for result in results])
    scores, deltas = (output.to(given) for output in head(roi_features(rois)))
    losses = head.loss_and_target(scores, deltas, rois, results, CFG)['loss_bbox']
    same = head.loss_and_target(scores, deltas.to(used), rois, results, CFG)['loss_bbox']
    assert losses['loss_bbox'].dtype == used
    torch.testing.assert_close(losses, same)


def test_inference_scores_classes_by_their_own_sigmoid(agnostic):
    head = build(box_head(reg_class_agnostic=agnostic)).eval()
    rois = [bbox2roi([image.bboxes]) for image in proposals()]
    outputs = [head(roi_features(image)) for image in rois]
    scores, deltas = zip(*outputs, strict=True)
    raw = head.predict_by_feat(rois, scores, deltas, METAS, rcnn_test_cfg=None)
    results = head.predict_by_feat(rois, scores, deltas, METAS, rcnn_test_cfg=ConfigDict(TEST))
    for index, (whole, result) in enumerate(zip(raw, results, strict=True)):
        torch.testing.assert_close(whole.scores[:, :-1], scores[index].sigmoid())
        assert (whole.scores[:, -1] == 0).all()
        assert len(result) == 10 and set(result.labels.tolist()) <= set(range(CLASSES))
        best = scores[index].sigmoid().max()
        torch.testing.assert_close(result.scores.max(), best)


def test_refined_boxes_follow_the_best_class(agnostic):
    head = build(box_head(reg_class_agnostic=agnostic))
    results = sampled(proposals(), truths())
    rois = bbox2roi([result.priors for result in results])
    scores, deltas = head(roi_features(rois))
    targets = head.get_targets(results, CFG)
    outputs = {'rois': rois, 'cls_score': scores, 'bbox_pred': deltas, 'bbox_targets': targets}
    refined = head.refine_bboxes(results, outputs, METAS)
    labels = torch.where(targets[0] == CLASSES, scores.argmax(1), targets[0])
    columns = torch.zeros_like(labels) if agnostic else labels
    chosen = deltas.reshape(len(rois), -1, 4)[torch.arange(len(rois)), columns]
    expected = head.bbox_coder.decode(rois[:, 1:], chosen, max_shape=(64, 64))
    torch.testing.assert_close(torch.cat([image.bboxes for image in refined]), expected)


def test_ious_of_rank_and_sort_are_those_of_the_decoded_boxes(agnostic, monkeypatch):
    loss = {'type': 'RankSortLoss', 'use_sigmoid': True}
    head = build(box_head(reg_class_agnostic=agnostic, loss_cls=loss))
    given = {}
    forward = head.loss_cls.forward

    def note(*args, **kwargs):
        given.update(kwargs)
        return forward(*args, **kwargs)

    monkeypatch.setattr(head.loss_cls, 'forward', note)
    losses, outputs, results = run(head, proposals(), truths())
    _, _, boxes, true_boxes = by_hand(outputs, results, agnostic, head.bbox_coder.decode)
    top_left, bottom_right = (
        pick(boxes[:, side], true_boxes[:, side])
        for pick, side in ((torch.max, slice(0, 2)), (torch.min, slice(2, 4)))
    )
    shared = (bottom_right - top_left).clamp(min=0).prod(1)
    area, true_area = ((b[:, 2:] - b[:, :2]).prod(1) for b in (boxes, true_boxes))
    torch.testing.assert_close(given['ious'], (shared / (area + true_area - shared)).detach())
    assert not given['ious'].requires_grad and (given['ious'] > 0).any()
    torch.testing.assert_close(losses['loss_bbox'], losses['loss_cls'])


@pytest.mark.parametrize('missing', ['cls_score', 'bbox_pred'])
def test_scores_without_boxes_are_refused(missing):
    """MMDetection's box heads take None for either."""
    head = build(box_head())
    results = sampled(proposals(), truths())
    rois = bbox2roi([result.priors for result in results])
    outputs = dict(zip(('cls_score', 'bbox_pred'), head(roi_features(rois)), strict=True))
    with pytest.raises(ValueError, match=f'needs both: {missing} is None'):
        head.loss(**{**outputs, missing: None}, rois=rois, **targets_of(head, results))


def targets_of(head, results):
    names = ('labels', 'label_weights', 'bbox_targets', 'bbox_weights')
    return dict(zip(names, head.get_targets(results, CFG), strict=True))


@pytest.mark.parametrize(('pos_weight', 'fits'), [(-1, True), (0, True), (1.0, True), (3.0, False)])
def test_a_weight_of_positives_is_refused(pos_weight, fits):
    head = build(box_head())
    results = sampled(proposals(), truths())
    rois = bbox2roi([result.priors for result in results])
    cfg = ConfigDict({**RCNN, 'pos_weight': pos_weight})
    outputs = head(roi_features(rois))
    if fits:
        head.loss_and_target(*outputs, rois, results, cfg)
        return
    with pytest.raises(ValueError, match=r'pos_weight=-1, got 3\.0'):
        head.loss_and_target(*outputs, rois, results, cfg)


def test_a_reduction_is_refused():
    head = build(box_head())
    results = sampled(proposals(), truths())
    rois = bbox2roi([result.priors for result in results])
    outputs = head(roi_features(rois))
    with pytest.raises(ValueError, match='PseudoSampler'):
        head.loss_and_target(*outputs, rois, results, CFG, reduction_override='none')


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'with_cls': False}, 'with_cls=True'),
        ({'with_reg': False}, 'with_reg=True'),
        ({'reg_decoded_bbox': False}, 'set reg_decoded_bbox=True'),
        ({'loss_cls': {'type': 'CrossEntropyLoss'}}, 'ranking loss as loss_cls'),
        ({'loss_bbox': {'type': 'L1Loss'}}, 'got L1Loss'),
    ],
)
def test_arguments_that_do_not_fit(changes, message):
    with pytest.raises(ValueError, match=message):
        build(box_head(**changes))
