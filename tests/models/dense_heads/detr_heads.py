"""Tiny DETR heads, predictions of their queries, and what they rank, by plain loops."""

import itertools
import math
import sys
from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from tiny_heads import boxes_of

sys.path.append(str(Path(__file__).parents[2] / 'ranking'))

import oracle

CLASSES, LAYERS, QUERIES, DENOISING = 3, 3, 7, 8
COSTS = [
    {'type': 'FocalLossCost', 'weight': 2.0},
    {'type': 'BBoxL1Cost', 'weight': 5.0, 'box_format': 'xywh'},
    {'type': 'IoUCost', 'iou_mode': 'giou', 'weight': 2.0},
]
STOCK_LOSSES = {
    'loss_cls': {'type': 'FocalLoss', 'use_sigmoid': True, 'loss_weight': 1.0},
    'loss_iou': {'type': 'GIoULoss', 'loss_weight': 2.0},
}
RANKING_IOU = {'loss_iou': {'type': 'GIoULoss', 'reduction': 'none'}}
ALRP = {'loss_cls': {'type': 'ALRPLoss', 'use_sigmoid': True}, **RANKING_IOU}
RANK_SORT = {'loss_cls': {'type': 'RankSortLoss', 'use_sigmoid': True}, **RANKING_IOU}
REFINED = {'num_pred_layer': LAYERS + 1, 'as_two_stage': True}
KINDS = {  # ranking head -> arguments
    'RankingDINOHead': REFINED,
    'RankingDeformableDETRHead': REFINED,
    'RankingDABDETRHead': {},
    'RankingConditionalDETRHead': {},
}
WITH_PROPOSALS = ['RankingDINOHead', 'RankingDeformableDETRHead']
METAS = [{'img_shape': (48, 64)}, {'img_shape': (64, 40)}]
DN_META = {'num_denoising_queries': DENOISING, 'num_denoising_groups': 2}


def truths(labels=((0, 2), (1,))):
    return [
        boxes_of([4, 4, 36, 34], [30, 20, 62, 46], labels=list(labels[0])),
        boxes_of([8, 10, 36, 50], labels=list(labels[1])),
    ]


def detr_head(kind, losses=ALRP, training=True, **changes):
    """A head of `kind`; MMDetection's own gets its own losses."""
    losses = losses if kind.startswith(('Ranking', 'Own')) else STOCK_LOSSES
    config = {
        'type': kind,
        'num_classes': CLASSES,
        'embed_dims': 8,
        'sync_cls_avg_factor': True,
        **KINDS.get(kind, KINDS.get(f'Ranking{kind}', {})),
        'loss_bbox': {'type': 'L1Loss', 'loss_weight': 5.0},
        **losses,
        'test_cfg': {'max_per_img': 10},
    }
    assigner = {'type': 'HungarianAssigner', 'match_costs': COSTS}
    config['train_cfg'] = {'assigner': assigner} if training else None
    return MODELS.build(ConfigDict({**config, **changes}))


def predictions(kind, images=2, seed=0):
    """What a head of `kind` hands to its losses: leaves, so that each query shows its gradient.

    Returns the scores and the boxes of all decoder layers, and a list of what follows them.
    """
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape):
        logits = 2 * torch.randn(*shape, CLASSES, generator=generator)
        boxes = torch.randn(*shape, 4, generator=generator).sigmoid()
        return logits.requires_grad_(), boxes.requires_grad_()

    denoising = DENOISING if kind.endswith('DINOHead') else 0
    scores, boxes = drawn(LAYERS, images, denoising + QUERIES)
    more = list(drawn(images, QUERIES + 2)) if kind in WITH_PROPOSALS else []
    return scores, boxes, more


def losses_of(head, kind, outputs, truth, metas=METAS):
    scores, boxes, more = outputs
    more = [*more, truth, metas]
    if kind.endswith('DINOHead'):
        most = max(len(each) for each in truth)
        dn = DN_META if most else {**DN_META, 'num_denoising_queries': 0}
        if not most:
            scores, boxes = scores[:, :, DENOISING:], boxes[:, :, DENOISING:]
        more.append(dn)
    return head.loss_by_feat(scores, boxes, *more)


def corners(box, meta):
    height, width = meta['img_shape']
    x, y, w, h = box
    return [(x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height]


def overlaps(a, b):
    """IoU and generalised IoU of two boxes of corners."""
    inner = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inner
    hull = (max(a[2], b[2]) - min(a[0], b[0])) * (max(a[3], b[3]) - min(a[1], b[1]))
    return inner / union, inner / union - (hull - union) / hull


def cost(logits, box, label, true_box, meta):
    height, width = meta['img_shape']
    p = 1 / (1 + math.exp(-logits[label]))
    focal = -0.25 * (1 - p) ** 2 * math.log(p) + 0.75 * p**2 * math.log(1 - p)
    x1, y1, x2, y2 = true_box
    true = [(x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height]
    l1 = sum(abs(one - other) for one, other in zip(box, true, strict=True))
    return 2 * focal + 5 * l1 - 2 * overlaps(corners(box, meta), true_box)[1]


def matched(logits, boxes, truth, meta):
    """The cheapest pairs of one image, {query: object}, by trying all of them."""
    true_boxes, labels = truth.bboxes.tolist(), truth.labels.tolist()
    logits, boxes = logits.tolist(), boxes.tolist()

    def total(queries):
        pairs = zip(queries, labels, true_boxes, strict=True)
        return sum(cost(logits[q], boxes[q], label, box, meta) for q, label, box in pairs)

    choices = itertools.permutations(range(len(boxes)), len(labels))
    return {query: k for k, query in enumerate(min(choices, key=total))}


def ranked_by_hand(scores, boxes, truth, metas=METAS, columns=CLASSES):
    """Logits, targets, and IoU and GIoU of the positives of one layer, in the order of its logits.

    `columns` 1 takes the first column and all objects as one class.
    """
    logits, targets, ious, gious = [], [], [], []
    for image, meta in enumerate(metas):
        objects = truth[image].clone()
        if columns == 1:
            objects.labels = torch.zeros_like(objects.labels)
        pairs = matched(scores[image], boxes[image], objects, meta)
        for query in range(scores.size(1)):
            wanted = [0] * columns
            if query in pairs:
                wanted[objects.labels[pairs[query]]] = 1
                box = corners(boxes[image, query].tolist(), meta)
                iou, giou = overlaps(box, objects.bboxes[pairs[query]].tolist())
                ious.append(iou)
                gious.append(giou)
            logits.extend(scores[image, query, :columns].tolist())
            targets.extend(wanted)
    as_tensor = [torch.tensor(part, dtype=torch.float64) for part in (logits, ious, gious)]
    return as_tensor[0], torch.tensor(targets), *as_tensor[1:]


def alrp_by_hand(logits, targets, ious, gious):
    """Classification loss, its gradient, and the balanced box loss."""
    expected = oracle.alrp_cls(logits, targets, 1 - gious)
    weights = oracle.admissible_loc_weights(logits, targets, 1.0)[0]
    return expected.loss, expected.grad, 50 * float((weights * (1 - gious)).sum())


def rank_sort_by_hand(logits, targets, ious, gious):
    """Classification loss, its gradient, and the box loss, which has the same value."""
    parts = oracle.rank_sort(logits, targets, ious)
    value = sum(part.loss for part in parts)
    return value, sum(part.grad for part in parts), value
