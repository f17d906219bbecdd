import logging

import pytest
import torch
from kin_heads import kin, truths_of
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger
from mmengine.structures import InstanceData
from test_kin_heads import WITHOUT_CENTERNESS, by_hand
from tiny_heads import ATSS, CHANNELS, STRIDES, batch, boxes_of, features
from torch import nn

from mmdet_alrp.models.dense_heads import RankingHeadMixin
from mmdet_alrp.models.dense_heads.loss_recorder import RecordedBatch
from mmdet_alrp.models.dense_heads.ranking_head_mixin import STEPS_WITHOUT_POSITIVES
from mmdet_alrp.models.losses import RankedLosses
from mmdet_alrp.ranking import average_precision_loss, rank_sort_loss

AP = {'type': 'APLoss', 'use_sigmoid': True}
SMOOTH_L1 = {'type': 'SmoothL1Loss', 'beta': 0.11}
ENCODED = {'loss_cls': AP, 'loss_bbox': SMOOTH_L1, 'reg_decoded_bbox': False}
ATSS_CFG = {'assigner': ATSS, 'allowed_border': -1}
CENTERNESS = {'type': 'CrossEntropyLoss', 'use_sigmoid': True}
HALVES = [[0.0, 0, 8, 8], [0, 0, 8, 4]]  # of one another


class NotedLoss(nn.Module):
    """Stands for a ranking loss and keeps what it is given."""

    needs_ious, needs_box_scores, scope = True, True, 'process'

    def check_box_loss(self, loss_bbox, decoded):
        self.decoded = decoded

    def forward(self, logits, targets, box_losses, **kwargs):
        if 'images' in kwargs:
            kwargs['images'] = targets.of_logits(kwargs['images'])
        targets = targets.flat()
        self.given = {'logits': logits, 'targets': targets, 'box_losses': box_losses, **kwargs}
        return RankedLosses(logits.sum(), box_losses.sum(), {'seen': targets.sum()})


class BareHead(nn.Module):
    """The least that the mixin builds on."""

    def __init__(self):
        super().__init__()
        self.loss_cls = NotedLoss()
        self.loss_bbox = MODELS.build({'type': 'IoULoss', 'mode': 'linear'})

    def loss_by_feat(self, cls_scores):
        scores = cls_scores[0].permute(0, 2, 3, 1).reshape(-1, 3)
        return {'loss_cls': self.loss_cls(scores, torch.full((len(scores),), 3))}


class BareRankingHead(RankingHeadMixin, BareHead):
    pass


def recorded(labels, weights, rows=None):
    """Four priors with two classes; the box of prior k is HALVES[k % 2], its target the first."""
    boxes = torch.tensor(HALVES * 2)
    boxes = boxes if rows is None else boxes[rows]
    targets = torch.tensor(HALVES[:1]).expand_as(boxes)
    scores = torch.arange(8.0).reshape(4, 2)
    return RecordedBatch(scores, torch.tensor(labels), torch.tensor(weights), boxes, targets)


@pytest.mark.parametrize(
    ('weights', 'rows', 'targets', 'ious'),
    [
        ([1.0, 1, 1, 1], None, [0, 1, 0, 0, 0, 0, 1, 0], [1.0, 0.5]),
        ([1.0, 0, 1, 1], None, [0, 1, -1, -1, 0, 0, 1, 0], [1.0, 0.5]),
        ([1.0, 1, 1, 0], None, [0, 1, 0, 0, 0, 0, -1, -1], [1.0]),
        ([0.0, 0, 0, 2], None, [-1, -1, -1, -1, -1, -1, 1, 0], [0.5]),
        ([1.0, 1, 1, 1], [0, 3], [0, 1, 0, 0, 0, 0, 1, 0], [1.0, 0.5]),
        ([0.0, 1, 1, 1], [0, 3], [-1, -1, 0, 0, 0, 0, 1, 0], [0.5]),
        ([0.0, 1, 1, 0], [0, 3], [-1, -1, 0, 0, 0, 0, -1, -1], []),
    ],
)
def test_weight_zero_takes_a_prior_out_whatever_it_is(weights, rows, targets, ious):
    head = BareRankingHead()
    losses = head.ranking_losses(recorded([1, 2, 2, 0], weights, rows))
    given = head.loss_cls.given
    assert given['targets'].tolist() == targets and given['targets'].dtype == torch.int8
    assert given['logits'].tolist() == list(range(8))
    torch.testing.assert_close(given['ious'], torch.tensor(ious), atol=1e-6, rtol=0)
    torch.testing.assert_close(given['box_losses'], 1 - torch.tensor(ious), atol=1e-6, rtol=0)
    # priors 0 and 3 have the logits 0, 1 and 6, 7
    scores = [torch.tensor(best).sigmoid() for best, iou in ((1.0, 1.0), (7.0, 0.5)) if iou in ious]
    torch.testing.assert_close(given['box_scores'], torch.tensor(scores))
    assert set(losses) == {'loss_cls', 'loss_bbox', 'seen'}


def test_recorded_boxes_of_half_precision_are_compared_in_float32():
    head = BareRankingHead()
    parts = recorded([1, 2, 2, 0], [1.0] * 4)
    head.ranking_losses(parts._replace(bbox_pred=parts.bbox_pred.half()))
    assert head.loss_cls.given['box_losses'].dtype == torch.float32


def test_boxes_of_neither_all_priors_nor_the_positives():
    with pytest.raises(ValueError, match=r'given 3 boxes.* all 4 priors or of the 2 positive'):
        BareRankingHead().ranking_losses(recorded([1, 2, 2, 0], [1.0] * 4, [0, 1, 3]))
    without = recorded([1, 2, 2, 0], [1.0] * 4)._replace(bbox_pred=None, bbox_targets=None)
    with pytest.raises(ValueError, match='given 0 boxes'):
        BareRankingHead().ranking_losses(without)


def test_images_stand_beside_every_logit():
    head = BareRankingHead()
    parts = recorded([1, 2, 2, 0], [1.0] * 4)
    head.ranking_losses(parts._replace(images=torch.tensor([0, 2, 0, 1]), num_images=3))
    assert head.loss_cls.given['images'].tolist() == [0, 0, 2, 2, 0, 0, 1, 1]
    assert head.loss_cls.given['num_images'] == 3
    head.ranking_losses(parts)
    assert 'images' not in head.loss_cls.given


def test_head_that_ranks_a_part_of_its_priors_has_no_images():
    head = BareRankingHead()
    head.loss_cls.scope = 'image'
    with pytest.raises(ValueError, match='ranks all its 16 priors, got 8'):
        head.loss_by_feat([torch.zeros(2, 3, 2, 2)] * 2)


@pytest.mark.parametrize('kind', ['RankingRetinaHead', 'RankingRPNHead'])
def test_smooth_l1_on_deltas(kind):
    head, stock = kin(kind, **ENCODED)
    truths, metas = batch()
    truths = truths_of(kind, truths)
    outputs = head(features())
    losses = {
        k.replace('rpn_', ''): v for k, v in head.loss_by_feat(*outputs, truths, metas).items()
    }
    stock.reg_decoded_bbox = True
    stock.bbox_coder.decode = lambda priors, deltas: torch.cat([priors, deltas], 1)
    logits, targets, _, pairs, true_boxes = by_hand(stock, outputs, truths, metas)
    wanted = head.bbox_coder.encode(pairs[:, :4], true_boxes)
    expected = head.loss_bbox(pairs[:, 4:], wanted, reduction_override='none').sum(1).mean()
    torch.testing.assert_close(losses['loss_bbox'], expected)
    torch.testing.assert_close(losses['loss_cls'], average_precision_loss(logits, targets))


def test_smooth_l1_on_the_logarithms_of_fovea_distances():
    head, stock = kin('RankingFoveaHead', **ENCODED)
    assert not head.reg_decoded_bbox
    truths, metas = batch()
    outputs = head(features())
    losses = head.loss_by_feat(*outputs, truths, metas)
    priors = head.prior_generator.grid_priors([s.shape[-2:] for s in outputs[0]], device='cpu')
    labels, wanted = stock.get_targets(truths, [s.shape[-2:] for s in outputs[0]], priors)
    deltas = torch.cat([level.permute(0, 2, 3, 1).reshape(-1, 4) for level in outputs[1]])
    pos = labels < 3
    expected = head.loss_bbox(deltas[pos], wanted[pos], reduction_override='none').sum(1).mean()
    torch.testing.assert_close(losses['loss_bbox'], expected)
    assert expected > 0


@pytest.mark.parametrize('kind', ['RankingATSSHead', 'RankingFoveaHead', 'OwnGFLHead'])
def test_rank_and_sort_takes_the_ious_of_the_boxes(kind):
    head, stock = kin(kind, loss_cls={'type': 'RankSortLoss', 'use_sigmoid': True})
    outputs = head(features())
    losses = head.loss_by_feat(*outputs, *batch())
    logits, targets, _, boxes, true_boxes = by_hand(stock, outputs, *batch())
    top_left = torch.max(boxes[:, :2], true_boxes[:, :2])
    shared = (torch.min(boxes[:, 2:], true_boxes[:, 2:]) - top_left).clamp(min=0).prod(1)
    areas = [(pair[:, 2:] - pair[:, :2]).prod(1) for pair in (boxes, true_boxes)]
    ious = (shared / (sum(areas) - shared)).detach()
    torch.testing.assert_close(losses['loss_cls'], sum(rank_sort_loss(logits, targets, ious)))


def test_proposals_come_with_the_losses_of_the_rpn():
    head, _ = kin('RankingRPNHead')
    head.eval()
    truths, metas = batch()
    samples = [
        DetDataSample(gt_instances=truth, ignored_instances=boxes_of(), metainfo=meta)
        for truth, meta in zip(truths_of('RankingRPNHead', truths), metas, strict=True)
    ]
    losses, found = head.loss_and_predict(features(), samples, proposal_cfg=head.test_cfg)
    assert losses['loss_rpn_cls'] > 0
    assert [len(image) for image in found] == [10, 10]
    assert all(isinstance(image, InstanceData) for image in found)


@pytest.mark.parametrize('kind', WITHOUT_CENTERNESS)
def test_there_is_no_centerness(kind):
    head, _ = kin(kind)
    assert not any('centerness' in name for name in head.state_dict())
    outputs = head.eval()(features())
    assert len(outputs) == 2
    # without it, the scores of the detections are those of the ranking
    metas = [{**meta, 'ori_shape': (64, 64), 'scale_factor': (1, 1)} for meta in batch()[1]]
    for image, found in enumerate(head.predict_by_feat(*outputs, batch_img_metas=metas)):
        best = max(level[image].max() for level in outputs[0]).sigmoid()
        torch.testing.assert_close(found.scores.max(), best)


@pytest.mark.parametrize(
    ('kind', 'changes', 'message'),
    [
        ('RankingATSSHead', {'loss_centerness': {'type': 'L1Loss'}}, 'set loss_centerness=None'),
        ('RankingATSSHead', ENCODED, 'set reg_decoded_bbox=True'),
        ('RankingFoveaHead', {'reg_decoded_bbox': False}, 'set reg_decoded_bbox=True'),
        ('RankingFoveaHead', {'loss_cls': {'type': 'APLoss'}}, 'needs use_sigmoid=True'),
        ('OwnGFLHead', {'reg_decoded_bbox': False}, 'set reg_decoded_bbox=True'),
        ('RankingGFLHead', {'reg_decoded_bbox': False}, 'set reg_decoded_bbox=True'),
        ('RankingFCOSHead', {'loss_centerness': CENTERNESS}, 'set loss_centerness=None'),
        ('RankingPAAHead', {'loss_centerness': CENTERNESS}, 'set loss_centerness=None'),
        ('RankingPAAHead', ENCODED, 'set reg_decoded_bbox=True'),
        ('RankingATSSHead', {'train_cfg': {**ATSS_CFG, 'pos_weight': 2}}, 'pos_weight=-1, got 2'),
        ('OwnFCOSHead', {'loss_bbox': {'type': 'IoULoss'}}, "got mode='log'"),
        ('OwnFCOSHead', {'loss_cls': {'type': 'FocalLoss', 'use_sigmoid': True}}, 'got FocalLoss'),
    ],
)
def test_arguments_that_do_not_fit(kind, changes, message):
    with pytest.raises(ValueError, match=message):
        kin(kind, **changes)


def test_a_head_of_scores_for_each_class_is_refused():
    """VarifocalNet's classification targets are no class indices."""
    parent = MODELS.get('VFNetHead')
    head = type('OwnVFNetHead', (RankingHeadMixin, parent), {})(
        num_classes=3,
        in_channels=CHANNELS,
        feat_channels=CHANNELS,
        stacked_convs=1,
        norm_cfg=None,
        strides=STRIDES,
        anchor_generator={
            'type': 'AnchorGenerator',
            'octave_base_scale': 4,
            'center_offset': 0.0,
            'scales_per_octave': 1,
            'ratios': [1.0],
            'strides': STRIDES,
        },
        regress_ranges=((-1, 16), (16, 32), (32, 1e8)),
        use_atss=False,
        use_vfl=True,
        loss_cls=AP,
        loss_bbox={'type': 'GIoULoss'},
        train_cfg=ConfigDict(),
    )
    scores = [level.new_zeros(2, 3, *level.shape[-2:]) for level in features()]
    boxes = [level.new_ones(2, 4, *level.shape[-2:]) for level in features()]
    with pytest.raises(ValueError, match=r'class indices \(n,\)'):
        head.loss_by_feat(scores, boxes, boxes, *batch())


def test_heads_without_an_assigner_warn_of_no_positives_too():
    messages = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    head, _ = kin('RankingFoveaHead')
    outputs = head(features())
    for _ in range(STEPS_WITHOUT_POSITIVES):
        head.loss_by_feat(*outputs, [boxes_of(), boxes_of()], batch()[1])
    logger.removeHandler(handler)
    (message,) = [message for message in messages if 'SelfBalanceHook' not in message]
    assert 'RankingFoveaHead: no positive in 50 training steps' in message
    assert message.endswith('Do its priors fit the boxes?')


def test_paa_without_scikit_learn_is_told_before_training(monkeypatch):
    monkeypatch.setattr('mmdet.models.dense_heads.paa_head.skm', None)
    with pytest.raises(ModuleNotFoundError, match='pip install scikit-learn'):
        kin('RankingPAAHead')
    head, _ = kin('RankingPAAHead', train_cfg=None)
    assert len(head(features())) == 2
