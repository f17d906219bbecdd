"""What all registered ranking losses have in common."""

import math

import pytest
import torch
from loss_batches import gradients, random_ranking
from mmdet.models.losses import GIoULoss, IoULoss, L1Loss, SmoothL1Loss
from mmdet.registry import MODELS

from mmdet_alrp.models.losses import ALRPLoss, APLoss, NDCGLoss, RankingLoss, RankSortLoss
from mmdet_alrp.ranking import alrp_loss, average_precision_loss, ndcg_loss, rank_sort_loss

LOSSES = {
    'ALRPLoss': ALRPLoss,
    'APLoss': APLoss,
    'NDCGLoss': NDCGLoss,
    'RankSortLoss': RankSortLoss,
}
ALIASES = {'aLRPLoss': ALRPLoss, 'RSLoss': RankSortLoss}
every_loss = pytest.mark.parametrize('kind', list(LOSSES.values()), ids=list(LOSSES))


def classification_loss(kind, logits, targets, box_losses, ious, **options):
    """The part of the core functions that moves the logits."""
    if kind is ALRPLoss:
        return alrp_loss(logits, targets, box_losses, **options)[0]
    if kind is RankSortLoss:
        return sum(rank_sort_loss(logits, targets, ious, **options))
    return {APLoss: average_precision_loss, NDCGLoss: ndcg_loss}[kind](logits, targets, **options)


def batch(device='cpu', **options):
    logits, targets, box_losses = random_ranking(**options)
    ious = torch.linspace(0.9, 0.1, len(box_losses), dtype=box_losses.dtype)
    return tuple(part.to(device) for part in (logits, targets, box_losses, ious))


def run(loss, logits, targets, box_losses, ious):
    """Call a loss as a head does whose class scores are those of the positives' own classes."""
    scores = logits.detach()[targets == 1].sigmoid()
    return loss(logits, targets, box_losses, ious, box_scores=scores)


@pytest.mark.parametrize('name', [*LOSSES, *ALIASES])
def test_names_in_the_registry(name):
    assert MODELS.get(name) is {**LOSSES, **ALIASES}[name]
    loss = MODELS.build({'type': name, 'use_sigmoid': True})
    assert isinstance(loss, RankingLoss) and loss.scope == 'process'
    assert loss.needs_ious == (name in ('RankSortLoss', 'RSLoss'))


@every_loss
@pytest.mark.parametrize('options', [{}, {'delta': 0.25}, {'error_skew': 1.5}], ids=str)
@pytest.mark.parametrize('loss_weight', [1.0, 0.2])
def test_classification_is_the_function_times_the_weight(kind, options, loss_weight, device):
    logits, targets, box_losses, ious = batch(device)
    logits.requires_grad_()
    loss = kind(loss_weight=loss_weight, **options).to(device)
    losses = run(loss, logits, targets, box_losses, ious)
    (grad,) = gradients(losses, logits)
    expected = classification_loss(kind, logits, targets, box_losses, ious, **options)
    (expected_grad,) = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(losses.loss_cls, loss_weight * expected)
    torch.testing.assert_close(grad, loss_weight * expected_grad)
    assert expected_grad.abs().sum() > 0


@every_loss
def test_default_delta(kind):
    case = batch()
    default = 0.5 if kind is RankSortLoss else 1.0
    found = {delta: run(kind(delta=delta), *case).loss_cls.item() for delta in (0.5, 1.0)}
    assert run(kind(), *case).loss_cls.item() == found[default]
    assert found[0.5] != found[1.0]


@every_loss
def test_log_is_detached_and_adds_nothing_to_the_trained_sum(kind):
    logits, targets, box_losses, ious = batch()
    losses = run(kind(), logits.requires_grad_(), targets, box_losses.requires_grad_(), ious)
    assert losses.log and not any('loss' in name for name in losses.log)
    assert all(value.shape == () and not value.requires_grad for value in losses.log.values())


@every_loss
@pytest.mark.parametrize('options', [{}, {'loss_weight': 0.3}], ids=str)
def test_without_positives_zero_and_connected(kind, options):
    logits = torch.randn(20, requires_grad=True)
    box_losses = torch.zeros(0, requires_grad=True)
    loss = kind(**options)
    with_positives = run(loss, *batch())
    losses = run(loss, logits, torch.zeros(20, dtype=torch.int8), box_losses, torch.zeros(0))
    assert losses.loss_cls.item() == losses.loss_bbox.item() == 0
    assert set(losses.log) == set(with_positives.log)
    on_logits, on_boxes = gradients(losses, logits, box_losses)
    assert (on_logits == 0).all() and on_boxes.shape == (0,)


@every_loss
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_predictions(kind, dtype):
    logits, targets, box_losses, ious = batch()
    half = run(kind(), logits.to(dtype), targets, box_losses.to(dtype), ious.to(dtype))
    whole = run(kind(), logits, targets, box_losses, ious)
    for ours, full in zip(half[:2], whole[:2], strict=True):
        assert ours.dtype == torch.float32
        torch.testing.assert_close(ours, full, rtol=2e-2, atol=2e-2)


@every_loss
@pytest.mark.parametrize('where', ['logit', 'box'])
def test_what_is_not_a_number_is_seen(kind, where):
    logits, targets, box_losses, ious = batch()
    if where == 'logit':
        logits[(targets == 1).nonzero()[0]] = math.nan
    else:
        box_losses[2] = math.nan
    losses = run(kind(), logits, targets, box_losses, ious)
    assert not torch.isfinite(losses.loss_cls + losses.loss_bbox)


@every_loss
@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'use_sigmoid': False}, 'use_sigmoid must be True'),
        ({'scope': 'batch'}, "scope must be one of process, image, global, got 'batch'"),
        ({'delta': -1.0}, 'delta must be .*>= 0, got -1.0'),
        ({'delta': math.nan}, 'delta must be'),
        ({'delta': math.inf}, 'delta must be'),
        ({'error_skew': -1.0}, 'error_skew must be .*>= 0, got -1.0'),
        ({'error_skew': math.nan}, 'error_skew must be'),
        ({'loss_weight': -1.0}, 'loss_weight must be .*>= 0, got -1.0'),
        ({'loss_weight': math.inf}, 'loss_weight must be'),
    ],
    ids=str,
)
def test_bad_arguments(kind, options, message):
    with pytest.raises(ValueError, match=message):
        kind(**options)


@every_loss
def test_unknown_argument(kind):
    with pytest.raises(TypeError, match='gamma'):
        kind(gamma=2.0)


@pytest.mark.parametrize('kind', [ALRPLoss, APLoss, NDCGLoss])
@pytest.mark.parametrize('ratio', [0.0, -2.0, math.nan])
def test_bad_ratio(kind, ratio):
    with pytest.raises(ValueError, match='initial_ratio must be a positive number'):
        kind(initial_ratio=ratio)


@pytest.mark.parametrize('kind', [APLoss, NDCGLoss])
@pytest.mark.parametrize(
    ('box_loss', 'decoded'),
    [(L1Loss(), False), (SmoothL1Loss(loss_weight=3.0), False), (GIoULoss(loss_weight=2.0), True)],
    ids=['l1', 'smooth l1', 'giou'],
)
def test_any_box_loss_beside_ap_and_ndcg(kind, box_loss, decoded):
    kind().check_box_loss(box_loss, decoded=decoded)


@pytest.mark.parametrize('box_loss', [GIoULoss(loss_weight=2.0), IoULoss(mode='linear')])
def test_box_losses_beside_rank_sort(box_loss):
    RankSortLoss().check_box_loss(box_loss, decoded=True)


@every_loss
@pytest.mark.parametrize('box_loss', [GIoULoss(), IoULoss(mode='linear')])
def test_overlap_of_encoded_boxes_is_refused_in_one_line(kind, box_loss):
    with pytest.raises(ValueError, match='reg_decoded_bbox=True') as caught:
        kind().check_box_loss(box_loss, decoded=False)
    assert '\n' not in str(caught.value)


@every_loss
def test_protocol_of_a_box_head_s_classifier(kind):
    """MMDetection's BBoxHead sizes its classifier and turns logits into scores by these."""
    head = MODELS.build(
        {
            'type': 'BBoxHead',
            'with_avg_pool': False,
            'in_channels': 2,
            'roi_feat_size': 1,
            'num_classes': 5,
            'loss_cls': {'type': kind.__name__, 'use_sigmoid': True},
        }
    )
    assert head.custom_cls_channels and head.custom_activation and head.custom_accuracy
    assert head.fc_cls.out_features == 5
    logits = torch.tensor([[0.0, 1.0, -1.0, 9.0, -9.0]])
    scores = head.loss_cls.get_activation(logits)
    assert scores.shape == (1, 6) and scores[0, 5] == 0
    torch.testing.assert_close(scores[:, :5], logits.sigmoid())
    assert head.loss_cls.get_accuracy(logits, torch.tensor([3])) == {}


@every_loss
@pytest.mark.parametrize('weights', [(), (torch.zeros(4),)], ids=['no weights', 'weights'])
def test_a_head_that_does_not_rank_is_told_so(kind, weights):
    """MMDetection's own heads hand over an average factor, and those with anchors weights."""
    with pytest.raises(TypeError, match=f'{kind.__name__} needs a ranking head'):
        kind()(torch.zeros(4, 3), torch.zeros(4), *weights, avg_factor=1.0)
