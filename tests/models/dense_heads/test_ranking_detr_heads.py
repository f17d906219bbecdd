import pytest
import torch
from detr_heads import (
    ALRP,
    CLASSES,
    COSTS,
    DENOISING,
    KINDS,
    LAYERS,
    METAS,
    QUERIES,
    RANK_SORT,
    STOCK_LOSSES,
    WITH_PROPOSALS,
    alrp_by_hand,
    detr_head,
    losses_of,
    predictions,
    rank_sort_by_hand,
    ranked_by_hand,
    truths,
)
from documented_heads import BLOCKS
from mmdet.models.dense_heads import DETRHead, DINOHead, GroundingDINOHead
from mmdet.registry import MODELS
from mmengine.model import BaseModel
from tiny_heads import boxes_of

from mmdet_alrp.models import RankingDETRHeadMixin, RankingHeadMixin
from mmdet_alrp.ranking import alrp_loss

LOSSES = {'aLRP': (ALRP, alrp_by_hand), 'Rank & Sort': (RANK_SORT, rank_sort_by_hand)}
NO_BOXES = [boxes_of(), boxes_of()]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def matching_part(kind, outputs):
    """Scores and boxes of each ranking by its name in the loss dict, with its columns."""
    scores, boxes, more = outputs
    first = scores.size(2) - QUERIES
    layers = {f'd{k}.': (scores[k, :, first:], boxes[k, :, first:], CLASSES) for k in range(LAYERS)}
    layers[''] = layers.pop(f'd{LAYERS - 1}.')
    if more:
        layers['enc_'] = (*more, 1 if kind == 'RankingDeformableDETRHead' else CLASSES)
    return layers


def name_of(layer, loss):
    return f'{layer}{loss}'


@pytest.mark.parametrize('loss', LOSSES)
def test_each_layer_is_a_ranking_of_its_own(kind, loss):
    losses, by_hand = LOSSES[loss]
    outputs = predictions(kind)
    found = losses_of(detr_head(kind, losses), kind, outputs, truths())
    for layer, (scores, boxes, columns) in matching_part(kind, outputs).items():
        ranked = ranked_by_hand(scores, boxes, truths(), columns=columns)
        value, grad, box_loss = by_hand(*ranked)
        loss_cls = found[name_of(layer, 'loss_cls')]
        assert value > 0.01
        assert loss_cls.item() == pytest.approx(value, rel=1e-5)
        assert found[name_of(layer, 'loss_iou')].item() == pytest.approx(box_loss, rel=1e-4)
        leaf = outputs[2][0] if layer == 'enc_' else outputs[0]
        (all_grads,) = torch.autograd.grad(loss_cls, leaf, retain_graph=True)
        if layer == 'enc_':
            ours, others = all_grads[..., :columns], all_grads[..., columns:]
        else:
            index = LAYERS - 1 if layer == '' else int(layer[1])
            ours = all_grads[index, :, -QUERIES:]
            others = torch.cat([all_grads[:index], all_grads[index + 1 :]])
        torch.testing.assert_close(ours.flatten().double(), grad, rtol=1e-4, atol=1e-6)
        assert not others.any()


def test_losses_are_the_plain_function_on_the_same_tensors(kind):
    outputs = predictions(kind)
    found = losses_of(detr_head(kind), kind, outputs, truths())
    for layer, (scores, boxes, columns) in matching_part(kind, outputs).items():
        logits, targets, _, gious = ranked_by_hand(scores, boxes, truths(), columns=columns)
        loss_cls, loss_loc = alrp_loss(logits, targets, 1 - gious)
        assert found[name_of(layer, 'loss_cls')].item() == pytest.approx(loss_cls.item(), rel=1e-5)
        box_loss = found[name_of(layer, 'loss_iou')].item()
        assert box_loss == pytest.approx(50 * loss_loc.item(), rel=1e-4)
    last = matching_part(kind, outputs)['']
    logits, targets, _, gious = ranked_by_hand(*last[:2], truths())
    _, loss_loc = alrp_loss(logits, targets, 1 - gious)
    assert found['loc_error'].item() == pytest.approx(loss_loc.item(), rel=1e-4)


def test_denoising_queries_are_in_no_ranking():
    outputs = predictions('RankingDINOHead')
    found = losses_of(detr_head('RankingDINOHead'), 'RankingDINOHead', outputs, truths())
    ranked = [
        value
        for name, value in found.items()
        if name.endswith(('loss_cls', 'loss_iou')) and 'dn_' not in name
    ]
    assert len(ranked) == 2 * (LAYERS + 1)
    for leaf in outputs[:2]:
        (grad,) = torch.autograd.grad(sum(ranked), leaf, retain_graph=True)
        assert not grad[:, :, :DENOISING].any()
        assert grad[:, :, DENOISING:].any()


def test_denoising_queries_move_no_ranking():
    kind = 'RankingDINOHead'
    outputs = predictions(kind)
    before = losses_of(detr_head(kind), kind, outputs, truths())
    with torch.no_grad():
        outputs[0][:, :, :DENOISING] += 5
    after = losses_of(detr_head(kind), kind, outputs, truths())
    for name, value in before.items():
        assert ('dn_loss_cls' in name) == (not torch.equal(value, after[name])), name


def test_denoising_and_l1_are_the_parents(kind):
    outputs = predictions(kind)
    found = losses_of(detr_head(kind), kind, outputs, truths())
    stock = losses_of(detr_head(kind.removeprefix('Ranking')), kind, outputs, truths())
    same = [name for name in stock if 'dn_' in name or name.endswith('loss_bbox')]
    assert len(same) == (LAYERS + (kind in WITH_PROPOSALS) + (3 * LAYERS if 'DINO' in kind else 0))
    for name in same:
        torch.testing.assert_close(found[name], stock[name])
    assert set(stock) <= set(found)
    assert set(found) - set(stock) == {'loc_error', 'self_balance_ratio'}


def test_denoising_losses_are_those_of_the_config():
    kind, outputs = 'RankingDINOHead', predictions('RankingDINOHead')
    double = {'type': 'FocalLoss', 'use_sigmoid': True, 'loss_weight': 2.0}
    half = {'type': 'GIoULoss', 'loss_weight': 1.0}
    changed = detr_head(kind, loss_dn_cls=double, loss_dn_iou=half)
    found = losses_of(changed, kind, outputs, truths())
    usual = losses_of(detr_head(kind), kind, outputs, truths())
    torch.testing.assert_close(found['dn_loss_cls'], 2 * usual['dn_loss_cls'])
    torch.testing.assert_close(found['d0.dn_loss_iou'], usual['d0.dn_loss_iou'] / 2)
    torch.testing.assert_close(found['loss_cls'], usual['loss_cls'])


def test_deformable_detr_of_one_stage_has_no_proposals_to_rank():
    kind = 'RankingDeformableDETRHead'
    scores, boxes, more = predictions(kind)
    found = losses_of(detr_head(kind), kind, (scores, boxes, [None, None]), truths())
    both = losses_of(detr_head(kind), kind, (scores, boxes, more), truths())
    assert both.keys() - found.keys() == {f'enc_loss_{part}' for part in ('cls', 'bbox', 'iou')}
    torch.testing.assert_close(found, {name: both[name] for name in found})


def test_all_layers_share_one_ratio(kind):
    head = detr_head(kind)
    found = losses_of(head, kind, predictions(kind), truths())
    cls = [value for name, value in found.items() if name.endswith('loss_cls') and 'dn' not in name]
    loc = [value for name, value in found.items() if name.endswith('loss_iou') and 'dn' not in name]
    assert len(cls) == LAYERS + (kind in WITH_PROPOSALS)
    expected = torch.stack([sum(cls), sum(loc) / 50]).detach()
    torch.testing.assert_close(head.loss_cls.balance.sums, expected)


@pytest.mark.parametrize('scope', ['process', 'image'])
def test_batch_without_boxes_gives_every_parameter_a_gradient(kind, scope):
    head = detr_head(kind)
    head.loss_cls.scope = scope
    outputs = predictions(kind)
    found = losses_of(head, kind, outputs, NO_BOXES)
    ranked = [v for n, v in found.items() if 'loss' in n and 'dn' not in n]
    assert all(value == 0 for value in ranked if value.requires_grad)
    loss, _ = BaseModel.parse_losses(head, {n: v for n, v in found.items() if 'dn' not in n})
    loss.backward()
    for leaf in (*outputs[:2], *outputs[2]):
        assert leaf.grad is not None
        assert not leaf.grad.any()


def test_one_ranking_an_image_is_the_mean_over_images(kind):
    head = detr_head(kind)
    scores, boxes, more = predictions(kind)
    single = []
    for i in range(2):
        parts = scores[:, i : i + 1], boxes[:, i : i + 1], [part[i : i + 1] for part in more]
        single.append(losses_of(head, kind, parts, truths()[i : i + 1], METAS[i : i + 1]))
    whole = losses_of(head, kind, (scores, boxes, more), truths())
    head.loss_cls.scope = 'image'
    found = losses_of(head, kind, (scores, boxes, more), truths())
    for name in matching_part(kind, (scores, boxes, more)):
        for part in ('loss_cls', 'loss_iou'):
            key = name_of(name, part)
            torch.testing.assert_close(found[key], (single[0][key] + single[1][key]) / 2)
    assert (found['loss_cls'] - whole['loss_cls']).abs() > 1e-4


def test_half_precision_is_ranked_and_matched_in_float32(kind):
    head = detr_head(kind)
    scores, boxes, more = predictions(kind)
    half = scores.bfloat16(), boxes.bfloat16(), [part.bfloat16() for part in more]
    with torch.autocast('cpu', torch.bfloat16):
        found = losses_of(head, kind, half, truths())
    full = half[0].float(), half[1].float(), [part.float() for part in half[2]]
    expected = losses_of(head, kind, full, truths())
    torch.testing.assert_close(found, expected)


def test_logits_that_are_not_finite_are_told(kind):
    head = detr_head(kind)
    outputs = predictions(kind)
    losses_of(head, kind, outputs, truths())
    assert head.last_losses_finite
    with torch.no_grad():
        outputs[0][0, 0, -1, 0] = -float('inf')  # the first layer: the last one is fine
    losses_of(head, kind, outputs, truths())
    assert not head.last_losses_finite


def test_weights_and_predictions_are_the_stock_heads(kind):
    head, stock = detr_head(kind, training=False), detr_head(kind.removeprefix('Ranking'))
    own = {k: v for k, v in head.state_dict().items() if not k.startswith('loss_')}
    assert own.keys() == stock.state_dict().keys()
    scores, boxes, _ = predictions(kind)
    metas = [{**meta, 'scale_factor': (1, 1)} for meta in METAS]
    results = head.predict_by_feat(scores, boxes, batch_img_metas=metas)
    expected = stock.predict_by_feat(scores, boxes, batch_img_metas=metas)
    for result, other in zip(results, expected, strict=True):
        assert len(result) == 10
        torch.testing.assert_close(result.scores, other.scores)
        torch.testing.assert_close(result.bboxes, other.bboxes)


def test_classifier_starts_as_the_stock_heads(kind):
    head, stock = detr_head(kind), detr_head(kind.removeprefix('Ranking'))
    head.init_weights(), stock.init_weights()
    biases = [
        {name: part for name, part in each.named_parameters() if 'cls' in name and 'bias' in name}
        for each in (head, stock)
    ]
    assert biases[0]
    torch.testing.assert_close(*biases)


def refused(kind, **changes):
    with pytest.raises(ValueError) as caught:
        detr_head(kind, **changes)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_other_losses_and_matching_are_refused():
    kind = 'RankingDINOHead'
    assert 'got FocalLoss' in refused(kind, loss_cls=STOCK_LOSSES['loss_cls'])
    assert 'loss_weight=1.0' in refused(kind, loss_iou=STOCK_LOSSES['loss_iou'])
    assert 'got L1Loss' in refused(kind, loss_iou={'type': 'L1Loss'})
    assert 'denoising' in refused(kind, loss_dn_cls=ALRP['loss_cls'])
    softmax = {'match_costs': [{'type': 'ClassificationCost', 'weight': 1.0}, *COSTS[1:]]}
    train_cfg = {'assigner': {'type': 'HungarianAssigner', **softmax}}
    assert 'FocalLossCost' in refused(kind, train_cfg=train_cfg)


@pytest.mark.parametrize(
    ('bases', 'reason'),
    [
        ((RankingDETRHeadMixin, GroundingDINOHead), 'words of a text'),
        ((RankingDETRHeadMixin, MODELS.get('DDQDETRHead')), 'distinct queries'),
        ((RankingHeadMixin, DINOHead), 'RankingDETRHeadMixin'),
        ((RankingHeadMixin, DETRHead), 'RankingDETRHeadMixin'),
    ],
    ids=lambda value: value if isinstance(value, str) else value[-1].__name__,
)
def test_head_that_no_ranking_fits_is_refused_in_one_line(bases, reason):
    head = type('OwnHead', bases, {})
    with pytest.raises(ValueError, match=reason) as caught:
        head(num_classes=CLASSES, **ALRP)
    assert '\n' not in str(caught.value)


def test_documented_config_trains_the_documented_head():
    config = {}
    exec(BLOCKS[2], config)
    head = config['model']['bbox_head']
    losses = {
        name: {key: value for key, value in loss.items() if key != '_delete_'}
        for name, loss in head.items()
        if name != 'type'
    }
    assert head['type'] == 'OwnDINOHead'
    own = detr_head(head['type'], losses, **KINDS['RankingDINOHead'])
    outputs = predictions('RankingDINOHead')
    found = losses_of(own, head['type'], outputs, truths())
    usual = losses_of(detr_head('RankingDINOHead'), 'RankingDINOHead', outputs, truths())
    torch.testing.assert_close(found, usual)
