import pytest
import torch
from documented_heads import BLOCKS
from kin_heads import KINDS, by_hand, kin, truths_of
from mmdet.models.losses.iou_loss import giou_loss
from mmengine.model import BaseModel
from tiny_heads import batch, boxes_of, features

from mmdet_alrp.ranking import alrp_loss

EXTRA = {'RankingGFLHead': {'loss_dfl'}, 'OwnGFLHead': {'loss_dfl'}}
WITHOUT_CENTERNESS = ('RankingATSSHead', 'RankingFCOSHead', 'OwnFCOSHead', 'RankingPAAHead')
NO_BOXES = [boxes_of(), boxes_of()]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def pair(name, **changes):
    kind, options = KINDS[name]
    return kind, *kin(kind, **options, **changes)


def plain(losses):
    """The loss dict without what RPNHead adds to names."""
    return {name.replace('rpn_', ''): value for name, value in losses.items()}


def losses_of(head, truths, metas, images=slice(None)):
    outputs = [[level[images] for level in output] for output in head(features())]
    return plain(head.loss_by_feat(*outputs, truths, metas)), outputs


def gradients(loss, head):
    parts = torch.autograd.grad(loss, list(head.parameters()), allow_unused=True, retain_graph=True)
    names = [name for name, _ in head.named_parameters()]
    return dict(zip(names, parts, strict=True))


def assert_is_the_core(head, stock, truths, metas, images=slice(None)):
    losses, outputs = losses_of(head, truths, metas, images)
    logits, targets, _, boxes, true_boxes = by_hand(stock, outputs, truths, metas)
    assert (targets == 1).any()
    errors = giou_loss(boxes, true_boxes, reduction='none', eps=1e-6)
    loss_cls, loss_loc = alrp_loss(logits, targets, errors)
    torch.testing.assert_close(losses['loss_cls'], loss_cls)
    torch.testing.assert_close(losses['loss_bbox'], 50 * loss_loc, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(losses['loc_error'], loss_loc.detach(), rtol=1e-4, atol=1e-4)
    ours = gradients(losses['loss_cls'] + losses['loss_bbox'], head)
    expected = gradients(loss_cls + 50 * loss_loc, head)
    for name, value in expected.items():
        value = torch.zeros_like(ours[name]) if value is None else value
        torch.testing.assert_close(ours[name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_losses_and_gradients_are_those_of_the_core(kind):
    name, head, stock = pair(kind)
    truths, metas = batch()
    assert_is_the_core(head, stock, truths_of(name, truths), metas)


def test_batch_of_one(kind):
    name, head, stock = pair(kind)
    truths, metas = batch()
    assert_is_the_core(head, stock, truths_of(name, truths)[:1], metas[:1], slice(1))


def test_padding_and_an_image_without_boxes(kind):
    name, head, stock = pair(kind)
    truths, metas = batch(shapes=((64, 64), (40, 48)), pad_shapes=((64, 64), (40, 48)))
    assert_is_the_core(head, stock, truths_of(name, [truths[0], boxes_of()]), metas)


def test_loss_dict(kind):
    name, head, stock = pair(kind)
    truths, metas = batch()
    truths = truths_of(name, truths)
    outputs = head(features())
    losses = head.loss_by_feat(*outputs, truths, metas)
    extra = EXTRA.get(name, set())
    ours = {'loss_cls', 'loss_bbox', 'loc_error', 'self_balance_ratio'}
    if name == 'RankingRPNHead':
        ours = {'loss_rpn_cls', 'loss_rpn_bbox', 'rpn_loc_error', 'rpn_self_balance_ratio'}
    assert set(losses) == ours | extra
    total, _ = BaseModel.parse_losses(head, losses)
    trained = [losses[key] for key in ours | extra if 'loss' in key]
    trained = [sum(part) if isinstance(part, list) else part for part in trained]
    torch.testing.assert_close(total, sum(trained))
    theirs = stock.loss_by_feat(*stock(features()), truths, metas) if extra else {}
    for key in extra:
        torch.testing.assert_close(losses[key], theirs[key])


@pytest.mark.parametrize('scope', ['process', 'image'])
def test_batch_without_boxes_gives_every_parameter_a_gradient(kind, scope):
    _, head, _ = pair(kind)
    head.loss_cls.scope = scope
    outputs = head(features())
    loss, _ = BaseModel.parse_losses(head, head.loss_by_feat(*outputs, NO_BOXES, batch()[1]))
    assert loss == 0
    loss.backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert (parameter.grad == 0).all(), name


def test_levels_without_positives_give_every_parameter_a_gradient(kind):
    name, head, _ = pair(kind)
    truths = truths_of(name, [boxes_of([4, 4, 36, 34]), boxes_of()])
    loss, _ = BaseModel.parse_losses(head, head.loss_by_feat(*head(features()), truths, batch()[1]))
    assert loss > 0
    loss.backward()
    missing = [name for name, parameter in head.named_parameters() if parameter.grad is None]
    assert not missing


def test_infinite_boxes_do_not_spoil_a_batch_without_boxes(kind):
    _, head, _ = pair(kind)
    outputs = head(features())
    outputs[1][0].data.fill_(float('inf'))
    losses = plain(head.loss_by_feat(*outputs, NO_BOXES, batch()[1]))
    assert losses['loss_bbox'] == 0


def test_one_ranking_an_image_is_the_mean_over_images(kind):
    name, head, _ = pair(kind)
    truths, metas = batch()
    truths = truths_of(name, truths)
    single = [losses_of(head, truths[i : i + 1], metas[i:][:1], slice(i, i + 1)) for i in (0, 1)]
    whole = losses_of(head, truths, metas)[0]['loss_cls']
    head.loss_cls.scope = 'image'
    losses, _ = losses_of(head, truths, metas)
    for key in ('loss_cls', 'loss_bbox'):
        expected = (single[0][0][key] + single[1][0][key]) / 2
        torch.testing.assert_close(losses[key], expected)
    assert (losses['loss_cls'] - whole).abs() > 1e-4


# MMCV's deformable convolution on the CPU takes float32 only.
@pytest.mark.parametrize('half_kind', [kind for kind in KINDS if kind != 'deform'])
@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16])
def test_autocast(half_kind, dtype):
    name, head, _ = pair(half_kind)
    truths, metas = batch()
    truths = truths_of(name, truths)
    full = plain(head.loss_by_feat(*head(features()), truths, metas))
    with torch.autocast('cpu', dtype):
        outputs = head(features())
        assert outputs[0][0].dtype == dtype
        half = plain(head.loss_by_feat(*outputs, truths, metas))
    for key in ('loss_cls', 'loss_bbox'):
        assert half[key].dtype == torch.float32
        torch.testing.assert_close(half[key], full[key], rtol=0.05, atol=0.02)
    loss, _ = BaseModel.parse_losses(head, half)
    assert all(grad.isfinite().all() for grad in gradients(loss, head).values())


def test_boxes_of_half_precision_are_compared_in_float32(kind):
    name, head, _ = pair(kind)
    truths, metas = batch()
    truths = truths_of(name, truths)
    scores, *boxes = [[level.bfloat16() for level in output] for output in head(features())]
    half = plain(head.loss_by_feat(scores, *boxes, truths, metas))
    full = [[level.float() for level in output] for output in boxes]
    expected = plain(head.loss_by_feat(scores, *full, truths, metas))
    torch.testing.assert_close(half, expected)


def test_weights_of_the_stock_head_fit(kind):
    _, head, stock = pair(kind)
    own = {key for key in head.state_dict() if not key.startswith('loss_')}
    theirs = {key for key in stock.state_dict() if not key.startswith('loss_')}
    if kind in WITHOUT_CENTERNESS:
        theirs = {key for key in theirs if 'centerness' not in key}
    assert own == theirs


# PAA's own multiplies the scores by the predicted IoU, and takes the root.
@pytest.mark.parametrize('kind', [kind for kind in KINDS if kind != 'RankingPAAHead'])
def test_predictions_are_those_of_the_stock_head(kind):
    _, head, stock = pair(kind)
    head.eval(), stock.eval()
    metas = [{**meta, 'ori_shape': (64, 64), 'scale_factor': (1, 1)} for meta in batch()[1]]
    with torch.no_grad():
        outputs, theirs = head(features()), stock(features())
        torch.testing.assert_close(list(outputs[0]), list(theirs[0]))
        torch.testing.assert_close(list(outputs[1]), list(theirs[1]))
        results = head.predict_by_feat(*outputs, batch_img_metas=metas)
        expected = stock.predict_by_feat(*theirs[: len(outputs)], batch_img_metas=metas)
    for result, other in zip(results, expected, strict=True):
        assert len(result) == 10
        for key in ('bboxes', 'scores', 'labels'):
            torch.testing.assert_close(result[key], other[key])


def test_paa_predicts_by_the_scores_alone():
    head, stock = kin('RankingPAAHead', score_voting=False)
    metas = [{**meta, 'ori_shape': (64, 64), 'scale_factor': (1, 1)} for meta in batch()[1]]
    with torch.no_grad():
        outputs, theirs = head.eval()(features()), stock.eval()(features())
        results = head.predict_by_feat(*outputs, batch_img_metas=metas)
        certain = [torch.full_like(level, 100.0) for level in theirs[2]]
        expected = stock.predict_by_feat(*theirs[:2], certain, batch_img_metas=metas)
    for result, other in zip(results, expected, strict=True):
        assert len(result) == 10
        torch.testing.assert_close(result.scores, other.scores.square())
        torch.testing.assert_close(result.bboxes, other.bboxes)


def test_head_remembers_whether_its_losses_were_finite(kind):
    name, head, _ = pair(kind)
    truths, metas = batch()
    truths = truths_of(name, truths)
    assert head.last_losses_finite is None
    losses_of(head, truths, metas)
    assert head.last_losses_finite.shape == () and head.last_losses_finite
    outputs = head(features())
    outputs[0][0].data[0, 0, 0, 0] = float('nan')
    head.loss_by_feat(*outputs, truths, metas)
    assert not head.last_losses_finite


def test_parent_that_raises_leaves_the_losses_in_place(kind, monkeypatch):
    _, head, _ = pair(kind)
    losses = head.loss_cls, head.loss_bbox

    def fail(*args, **kwargs):
        raise RuntimeError('no targets today')

    monkeypatch.setattr(head, 'get_targets', fail)
    with pytest.raises(RuntimeError, match='no targets today'):
        head.loss_by_feat(*head(features()), *batch())
    assert (head.loss_cls, head.loss_bbox) == losses
    assert [name for name, _ in head.named_children()].count('loss_cls') == 1


def test_documented_heads_are_short():
    for statement in BLOCKS[0].split('@MODELS.register_module()')[1:]:
        assert len(statement.strip().splitlines()) < 10


def test_documented_config_trains_the_documented_head():
    config = {}
    exec(BLOCKS[1], config)
    head = config['model']['bbox_head']
    losses = {
        name: {key: value for key, value in head[name].items() if key != '_delete_'}
        for name in ('loss_cls', 'loss_bbox')
    }
    own, _ = kin(head['type'], **losses)
    assert own.loss_by_feat(*own(features()), *batch())['loss_cls'] > 0
