"""Ranking heads beside MMDetection's with the same weights, and what they rank, by hand."""

import torch
from documented_heads import REGISTERED  # noqa: F401 - registers a user's own heads
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from tiny_heads import ATSS, CHANNELS, FOCAL_LOSSES, MAX_IOU, RANKING_LOSSES, STRIDES, TEST_CFG

EDGES = (16, 32, 64)
ANCHORS = {
    'anchor_generator': {
        'type': 'AnchorGenerator',
        'octave_base_scale': 4,
        'scales_per_octave': 1,
        'ratios': [1.0],
        'strides': STRIDES,
    }
}
TWO_RATIOS = {'anchor_generator': {**ANCHORS['anchor_generator'], 'ratios': [0.5, 1.0]}}
DECODED = {'bbox_coder': {'type': 'DeltaXYWHBBoxCoder'}, 'reg_decoded_bbox': True}
FOVEA = {
    'strides': STRIDES,
    'base_edge_list': EDGES,
    'scale_ranges': ((1, 32), (16, 64), (32, 128)),
}
TOWER = {'stacked_convs': 1, 'norm_cfg': None, 'feat_channels': CHANNELS}
FCOS = {'strides': STRIDES, 'regress_ranges': ((-1, 16), (16, 32), (32, 1e8))}
POINTS = {
    'anchor_generator': {'type': 'MlvlPointGenerator', 'offset': 0, 'strides': STRIDES},
    'bbox_coder': {'type': 'DistancePointBBoxCoder'},
}
SOFT_LABELS = {'type': 'DynamicSoftLabelAssigner', 'topk': 5}
# Few of the untrained boxes fit: all that overlap a little are candidates.
CANDIDATES = {**MAX_IOU, 'pos_iou_thr': 0.1, 'neg_iou_thr': 0.1, 'ignore_iof_thr': -1}
QUALITY = {'loss_cls': {'type': 'QualityFocalLoss', 'use_sigmoid': True}}
QUALITY_HEADS = ('GFLHead', 'RTMDetHead', 'RTMDetSepBNHead')
# ranking head -> MMDetection's head and arguments of both
KIN = {
    'RankingRetinaHead': ('RetinaHead', {**TWO_RATIOS, **DECODED, **TOWER}),
    'RankingRPNHead': ('RPNHead', {**TWO_RATIOS, **DECODED, 'feat_channels': CHANNELS}),
    'RankingATSSHead': ('ATSSHead', {**ANCHORS, **TOWER}),
    'RankingFoveaHead': ('FoveaHead', {**FOVEA, **TOWER}),
    'RankingFCOSHead': ('FCOSHead', {**FCOS, **TOWER}),
    'RankingGFLHead': ('GFLHead', {**ANCHORS, **TOWER, 'reg_max': 8}),
    'RankingPAAHead': ('PAAHead', {**TWO_RATIOS, **DECODED, **TOWER}),
    'RankingRTMDetHead': ('RTMDetHead', {**POINTS, **TOWER}),
    'RankingRTMDetSepBNHead': ('RTMDetSepBNHead', {**POINTS, **TOWER, 'norm_cfg': {'type': 'BN'}}),
    'OwnFCOSHead': ('FCOSHead', {**FCOS, **TOWER}),
    'OwnGFLHead': ('GFLHead', {**ANCHORS, **TOWER, 'reg_max': 8, 'reg_decoded_bbox': True}),
}
DEFORM = {'with_deform': True, 'deform_groups': 1}
KINDS = {kind: (kind, {}) for kind in KIN} | {'deform': ('RankingFoveaHead', DEFORM)}


def _train_cfg(kind):
    if kind in ('RankingFoveaHead', 'RankingFCOSHead', 'OwnFCOSHead'):
        return {}
    if 'RTMDet' in kind:
        assigner = SOFT_LABELS
    elif kind == 'RankingPAAHead':
        assigner = CANDIDATES
    else:
        assigner = ATSS if kind in ('RankingATSSHead', 'RankingGFLHead', 'OwnGFLHead') else MAX_IOU
    sampler = {'sampler': {'type': 'PseudoSampler'}}
    return {'assigner': assigner, **sampler, 'allowed_border': -1, 'pos_weight': -1}


def _build(config):
    return MODELS.build(ConfigDict(config))


def kin(kind, **changes):
    """A ranking head and MMDetection's with the same weights, where both have them."""
    stock_kind, config = KIN[kind]
    config = {**config, 'in_channels': CHANNELS, 'train_cfg': _train_cfg(kind)}
    config = {**config, 'test_cfg': TEST_CFG}
    if kind != 'RankingRPNHead':
        config['num_classes'] = 3
    head = _build({'type': kind, **config, **RANKING_LOSSES, **changes})
    torch.manual_seed(0)
    for parameter in head.parameters():
        parameter.data.normal_(std=0.1)
    for name in ('loss_cls', 'loss_bbox', 'reg_decoded_bbox'):
        changes.pop(name, None)
    focal = {**FOCAL_LOSSES, **(QUALITY if stock_kind in QUALITY_HEADS else {})}
    stock = _build({'type': stock_kind, **config, **focal, **changes})
    weights = {
        **stock.state_dict(),
        **{k: v for k, v in head.state_dict().items() if 'loss' not in k},
    }
    stock.load_state_dict(weights)
    return head, stock


def truths_of(kind, truths):
    """Ground truth as the head's detector gives it: RPNs see one class."""
    if kind != 'RankingRPNHead':
        return truths
    truths = [truth.clone() for truth in truths]
    for truth in truths:
        truth.labels = torch.zeros_like(truth.labels)
    return truths


def _anchor_targets(stock, outputs, truths, metas):
    """Priors, labels, label weights and true boxes of an AnchorHead, level by level."""
    sizes = [level.shape[-2:] for level in outputs[0]]
    anchors, valid = stock.get_anchors(sizes, metas, device='cpu')
    levels = [list(of_image) for of_image in anchors]
    found = stock.get_targets([list(part) for part in levels], valid, truths, metas)
    labels, weights, boxes = found[:3] if len(found) == 5 else found[1:4]
    return levels[0], labels, weights, boxes


def _paa_targets(stock, outputs, truths, metas):
    """The same after PAA has told the candidates of each image apart."""
    sizes = [level.shape[-2:] for level in outputs[0]]
    anchors, valid = stock.get_anchors(sizes, metas, device='cpu')
    counts = [len(level) for level in anchors[0]]
    found = stock.get_targets([list(part) for part in anchors], valid, truths, metas)
    split = []
    for image, (labels, weights, boxes, box_weights, pos, objects) in enumerate(
        zip(*found, strict=True)
    ):
        flat = [
            torch.cat([part[image].permute(1, 2, 0).reshape(-1, width) for part in output])
            for output, width in zip(outputs[:2], (stock.num_classes, 4), strict=True)
        ]
        parts = (labels, weights, boxes, box_weights, pos)
        (losses,) = stock.get_pos_loss(anchors[image], *flat, *parts)
        labels, weights, _, _ = stock.paa_reassign(
            losses.detach(), labels, weights, box_weights, pos, objects, anchors[image]
        )
        split.append([part.split(counts) for part in (labels, weights, boxes)])
    labels, weights, boxes = zip(*split, strict=True)
    by_level = [list(zip(*part, strict=True)) for part in (labels, weights, boxes)]
    return anchors[0], *by_level


def _rtmdet_targets(stock, outputs, truths, metas):
    """The same of RTMDet, whose assigner looks at the predictions."""
    sizes = [level.shape[-2:] for level in outputs[0]]
    anchors, valid = stock.get_anchors(sizes, metas, device='cpu')
    shape = (len(truths), -1)
    scores = [part.permute(0, 2, 3, 1).reshape(*shape, stock.num_classes) for part in outputs[0]]
    boxes = []
    for points, level in zip(anchors[0], outputs[1], strict=True):
        of_images = level.permute(0, 2, 3, 1).reshape(*shape, 4)
        boxes.append(torch.stack([_around(points[:, :2], sides) for sides in of_images]))
    found = stock.get_targets(
        torch.cat(scores, 1),
        torch.cat(boxes, 1),
        [list(part) for part in anchors],
        valid,
        truths,
        metas,
    )
    return anchors[0], *found[1:4]


def _point_targets(stock, outputs, truths, metas):
    """The same of a head with points; for the distances to the sides, not yet boxes."""
    sizes = [level.shape[-2:] for level in outputs[0]]
    points = stock.prior_generator.grid_priors(sizes, device='cpu')
    counts = [len(truths) * len(level) for level in points]
    if type(stock).__name__ == 'FCOSHead':
        labels, distances = stock.get_targets(points, truths)
    else:
        labels, logs = stock.get_targets(truths, sizes, points)
        labels, distances = labels.split(counts), logs.exp().split(counts)
    shape = (len(truths), -1)
    labels = [level.reshape(shape) for level in labels]
    weights = [torch.ones_like(level) for level in labels]
    return points, labels, weights, [level.reshape(*shape, 4) for level in distances]


def _around(points, distances):
    return torch.cat([points - distances[:, :2], points + distances[:, 2:]], dim=1)


def _boxes(stock, level, priors, preds, targets):
    """Predicted and true boxes, in pixels."""
    kind = type(stock).__name__
    if kind == 'FCOSHead':
        return _around(priors, preds), _around(priors, targets)
    if kind in ('RTMDetHead', 'RTMDetSepBNHead'):
        return _around(priors[:, :2], preds), targets
    if kind == 'FoveaHead':
        edge = EDGES[level]
        return _around(priors, edge * preds.exp()), _around(priors, edge * targets)
    if kind == 'GFLHead':
        steps = torch.arange(stock.reg_max + 1.0)
        distances = (preds.reshape(-1, 4, stock.reg_max + 1).softmax(-1) * steps).sum(-1)
        centers = (priors[:, :2] + priors[:, 2:]) / 2
        return _around(centers, STRIDES[level] * distances), targets
    return stock.bbox_coder.decode(priors, preds), targets


def by_hand(stock, outputs, truths, metas):
    """Logits, targets and boxes of one image after the other, from MMDetection's own targets.

    Returns logits, targets, image of each logit, and predicted and true boxes of the positives.
    """
    others = {
        'FCOSHead': _point_targets,
        'FoveaHead': _point_targets,
        'PAAHead': _paa_targets,
        'RTMDetHead': _rtmdet_targets,
        'RTMDetSepBNHead': _rtmdet_targets,
    }
    find = others.get(type(stock).__name__, _anchor_targets)
    priors, labels, weights, targets = find(stock, outputs, truths, metas)
    found = []
    for image in range(len(truths)):
        for level, (scores, preds) in enumerate(zip(*outputs[:2], strict=True)):
            scores = scores[image].permute(1, 2, 0).reshape(-1, stock.cls_out_channels)
            preds = preds[image].permute(1, 2, 0).reshape(len(scores), -1)
            classes = labels[level][image]
            wanted = torch.zeros(len(scores), stock.num_classes + 1, dtype=torch.int8)
            wanted[torch.arange(len(scores)), classes] = 1
            wanted[weights[level][image] == 0] = -1
            pos = (classes < stock.num_classes).nonzero().flatten()
            pairs = _boxes(stock, level, priors[level][pos], preds[pos], targets[level][image][pos])
            wanted = wanted[:, :-1].flatten()
            found.append((scores.flatten(), wanted, torch.full_like(wanted, image), *pairs))
    return [torch.cat(part) for part in zip(*found, strict=True)]
