"""Detectors of a few thousand weights, one for each head."""

import copy
from typing import NamedTuple

from tiny_runs import FOCAL_HEAD, HEAD_BODY, tiny_model

ALRP_LOSSES = {
    'reg_decoded_bbox': True,
    'loss_cls': {'type': 'ALRPLoss', 'use_sigmoid': True},
    'loss_bbox': {'type': 'GIoULoss', 'reduction': 'none'},
}
PROPOSALS = {
    'nms_pre': 50,
    'max_per_img': 40,
    'nms': {'type': 'nms', 'iou_threshold': 0.7},
    'min_bbox_size': 0,
}


class Fallible(NamedTuple):
    """A head that can go wrong: its detector, the layer of its logits, its path and its loss."""

    detector: dict
    logits: str
    path: str = 'bbox_head'
    loss: str = 'loss_cls'


def one_stage(kind, head, assigner=None):
    model = {**tiny_model(FOCAL_HEAD), 'type': kind, 'bbox_head': head, 'train_cfg': {}}
    if assigner:
        rest = {'allowed_border': -1, 'pos_weight': -1, 'debug': False}
        model['train_cfg'] = {'assigner': assigner, **rest}
    return model


def fovea():
    head = {
        **{name: HEAD_BODY[name] for name in ('num_classes', 'in_channels', 'feat_channels')},
        'type': 'RankingFoveaHead',
        'stacked_convs': 1,
        'strides': [8, 16, 32],
        'base_edge_list': [16, 32, 64],
        'scale_ranges': ((1, 32), (16, 64), (32, 512)),
        **ALRP_LOSSES,
    }
    return one_stage('FOVEA', head)


def two_stage():
    """Faster R-CNN that ranks, without samplers."""
    rpn = {name: HEAD_BODY[name] for name in ('in_channels', 'feat_channels', 'anchor_generator')}
    rpn_losses = {**ALRP_LOSSES, 'loss_cls': {**ALRP_LOSSES['loss_cls'], 'loss_weight': 0.2}}
    body = {'type': 'RankingShared2FCBBoxHead', 'in_channels': 16, 'fc_out_channels': 32}
    coder = {'type': 'DeltaXYWHBBoxCoder', 'target_stds': [0.1, 0.1, 0.2, 0.2]}
    sampler = {'type': 'PseudoSampler'}
    rest = {'pos_weight': -1, 'debug': False}
    assigner = tiny_model(FOCAL_HEAD)['train_cfg']['assigner']
    model = {
        **tiny_model(FOCAL_HEAD),
        'type': 'FasterRCNN',
        'rpn_head': {
            'type': 'RankingRPNHead',
            'bbox_coder': {'type': 'DeltaXYWHBBoxCoder'},
            **rpn,
            **rpn_losses,
        },
        'roi_head': {
            'type': 'StandardRoIHead',
            'bbox_roi_extractor': {
                'type': 'SingleRoIExtractor',
                'roi_layer': {'type': 'RoIAlign', 'output_size': 7, 'sampling_ratio': 0},
                'out_channels': 16,
                'featmap_strides': [8, 16, 32],
            },
            'bbox_head': {'num_classes': 5, 'bbox_coder': coder, **body, **ALRP_LOSSES},
        },
        'train_cfg': {
            'rpn': {'assigner': assigner, 'sampler': sampler, 'allowed_border': -1, **rest},
            'rpn_proposal': PROPOSALS,
            'rcnn': {'assigner': assigner, 'sampler': sampler, **rest},
        },
        'test_cfg': {
            'rpn': PROPOSALS,
            'rcnn': {
                'score_thr': 0.0,
                'nms': {'type': 'nms', 'iou_threshold': 0.5},
                'max_per_img': 20,
            },
        },
    }
    del model['bbox_head']
    return model


ATSS = {**HEAD_BODY, 'type': 'RankingATSSHead', 'norm_cfg': {'type': 'BN'}, **ALRP_LOSSES}
HEADS = {
    'RetinaHead': Fallible(tiny_model(FOCAL_HEAD), 'bbox_head.retina_cls'),
    'RankingRetinaHead': Fallible(
        tiny_model({'type': 'RankingRetinaHead', **ALRP_LOSSES}), 'bbox_head.retina_cls'
    ),
    'RankingATSSHead': Fallible(
        one_stage('ATSS', ATSS, {'type': 'ATSSAssigner', 'topk': 9}), 'bbox_head.atss_cls'
    ),
    'RankingFoveaHead': Fallible(fovea(), 'bbox_head.conv_cls'),
    'RankingRPNHead': Fallible(two_stage(), 'rpn_head.rpn_cls', 'rpn_head', 'loss_rpn_cls'),
    'RankingShared2FCBBoxHead': Fallible(
        two_stage(), 'roi_head.bbox_head.fc_cls', 'roi_head.bbox_head'
    ),
}
RANKING_HEADS = sorted(HEADS.keys() - {'RetinaHead'})
# Both stages of one detector are one case where the fault is in the data.
DETECTORS = sorted(HEADS.keys() - {'RankingRPNHead'})


def detector(name='RankingRetinaHead'):
    return copy.deepcopy(HEADS[name].detector)
