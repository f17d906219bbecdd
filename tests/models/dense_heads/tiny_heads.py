"""Heads of a few hundred weights, their inputs, and a second gathering written from scratch."""

import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

import mmdet_alrp  # noqa: F401 - registers the heads

CHANNELS = 8
STRIDES = [8, 16, 32]
MAX_IOU = {
    'type': 'MaxIoUAssigner',
    'pos_iou_thr': 0.5,
    'neg_iou_thr': 0.4,
    'min_pos_iou': 0,
    'ignore_iof_thr': 0.5,
}
ATSS = {'type': 'ATSSAssigner', 'topk': 9, 'ignore_iof_thr': 0.5}
ASSIGNERS = {'MaxIoU': MAX_IOU, 'ATSS': ATSS}
RANKING_LOSSES = {
    'loss_cls': {'type': 'ALRPLoss', 'use_sigmoid': True},
    'loss_bbox': {'type': 'GIoULoss', 'reduction': 'none'},
}
FOCAL_LOSSES = {
    'loss_cls': {'type': 'FocalLoss', 'use_sigmoid': True},
    'loss_bbox': {'type': 'GIoULoss'},
}
TEST_CFG = {
    'nms_pre': 100,
    'min_bbox_size': 0,
    'score_thr': 0.0,
    'nms': {'type': 'nms', 'iou_threshold': 0.5},
    'max_per_img': 10,
}


def tiny_head(kind='RankingRetinaHead', assigner=MAX_IOU, border=-1, training=True, **changes):
    config = {
        'type': kind,
        'num_classes': 3,
        'in_channels': CHANNELS,
        'feat_channels': CHANNELS,
        'stacked_convs': 1,
        'anchor_generator': {
            'type': 'AnchorGenerator',
            'octave_base_scale': 4,
            'scales_per_octave': 2,
            'ratios': [1.0],
            'strides': STRIDES,
        },
        'bbox_coder': {'type': 'DeltaXYWHBBoxCoder', 'target_stds': [0.1, 0.1, 0.2, 0.2]},
        'reg_decoded_bbox': True,
        'test_cfg': TEST_CFG,
        **(FOCAL_LOSSES if kind in ('RetinaHead', 'RetinaATSSHead') else RANKING_LOSSES),
        **changes,
    }
    if training:
        config['train_cfg'] = {'assigner': assigner, 'allowed_border': border, 'pos_weight': -1}
        config['train_cfg']['debug'] = False
    torch.manual_seed(0)
    head = MODELS.build(ConfigDict(config))
    for parameter in head.parameters():  # predictions that differ from anchor to anchor
        parameter.data.normal_(std=0.1)
    return head


def features(side=64, images=2):
    generator = torch.Generator().manual_seed(1)
    shape = (images, CHANNELS)
    return [torch.randn(*shape, side // s, side // s, generator=generator) for s in STRIDES]


def boxes_of(*boxes, labels=None):
    found = InstanceData(bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    found.labels = torch.zeros(len(boxes)).long() if labels is None else torch.tensor(labels)
    return found


def batch(labels=((0, 2), (1,)), shapes=((64, 64), (64, 64)), pad_shapes=None):
    """Ground truth and meta data of two images, with two boxes and one."""
    truths = [
        boxes_of([4, 4, 36, 34], [30, 28, 62, 60], labels=labels[0]),
        boxes_of([8, 10, 44, 50], labels=labels[1]),
    ]
    metas = [
        {'img_shape': shape, 'pad_shape': pad_shape}
        for shape, pad_shape in zip(shapes, pad_shapes or shapes, strict=True)
    ]
    return truths, metas


def anchors_inside(head, level_shape, level, meta, border):
    """Anchors of a level in the order of its predictions, and which of them take part."""
    stride, (height, width) = STRIDES[level], level_shape
    sides = [stride * 4 * 2**octave for octave in (0, 0.5)]
    anchors = [
        [x * stride - side / 2, y * stride - side / 2, x * stride + side / 2, y * stride + side / 2]
        for y in range(height)
        for x in range(width)
        for side in sides
    ]
    pad_height, pad_width = meta['pad_shape']
    img_height, img_width = meta['img_shape']
    inside = [
        y * stride < pad_height and x * stride < pad_width
        for y in range(height)
        for x in range(width)
        for _ in sides
    ]
    if border >= 0:
        inside = [
            valid
            and left >= -border
            and top >= -border
            and right < img_width + border
            and bottom < img_height + border
            for valid, (left, top, right, bottom) in zip(inside, anchors, strict=True)
        ]
    return torch.tensor(anchors), torch.tensor(inside)


def gather_by_hand(head, outputs, truths, metas, assigner=MAX_IOU, border=-1, ignored=None):
    """Logits, targets, predicted and true boxes of the positives: image by image, anchor by anchor.

    Shares no code with the head but the assigner, which is called directly, and the box coder.
    """
    logits, targets, boxes, true_boxes = [], [], [], []
    for index, (truth, meta) in enumerate(zip(truths, metas, strict=True)):
        levels = []
        for level, (cls_score, bbox_pred) in enumerate(zip(*outputs, strict=True)):
            shape = cls_score.shape[-2:]
            anchors, inside = anchors_inside(head, shape, level, meta, border)
            num_base = len(anchors) // (shape[0] * shape[1])
            scores = cls_score[index].reshape(num_base, head.num_classes, -1)
            deltas = bbox_pred[index].reshape(num_base, 4, -1)
            for place in inside.nonzero().flatten().tolist():
                cell, base = divmod(place, num_base)
                levels.append((level, anchors[place], scores[base, :, cell], deltas[base, :, cell]))
        priors = InstanceData(priors=torch.stack([anchor for _, anchor, _, _ in levels]))
        sizes = [sum(entry[0] == level for entry in levels) for level in range(len(STRIDES))]
        extra = [sizes] if assigner['type'] == 'ATSSAssigner' else []
        assign = TASK_UTILS.build(assigner).assign
        found = assign(priors, *extra, truth, None if ignored is None else ignored[index]).gt_inds
        for (_, anchor, scores, deltas), gt in zip(levels, found.tolist(), strict=True):
            target = [-1 if gt < 0 else 0] * head.num_classes
            if gt > 0:
                target[int(truth.labels[gt - 1])] = 1
                boxes.append(head.bbox_coder.decode(anchor[None], deltas[None])[0])
                true_boxes.append(truth.bboxes[gt - 1])
            logits.append(scores)
            targets.append(torch.tensor(target))
    empty = outputs[1][0].new_zeros(0, 4)
    return (
        torch.cat(logits),
        torch.cat(targets),
        torch.stack(boxes) if boxes else empty,
        torch.stack(true_boxes) if boxes else empty,
    )
