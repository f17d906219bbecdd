"""Second stages of a few hundred weights, and proposals for them."""

import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

import mmdet_alrp  # noqa: F401 - registers the heads

CHANNELS, CLASSES, SIDE = 4, 3, 64
ALRP = {'type': 'ALRPLoss', 'use_sigmoid': True}
ASSIGNER = {
    'type': 'MaxIoUAssigner',
    'pos_iou_thr': 0.5,
    'neg_iou_thr': 0.5,
    'min_pos_iou': 0.5,
    'ignore_iof_thr': -1,
}
RCNN = {
    'assigner': ASSIGNER,
    'sampler': {'type': 'PseudoSampler'},
    'mask_size': 4,
    'pos_weight': -1,
    'debug': False,
}
TEST = {
    'score_thr': 0.0,
    'nms': {'type': 'nms', 'iou_threshold': 0.5},
    'max_per_img': 10,
    'mask_thr_binary': 0.5,
}
EXTRACTOR = {
    'type': 'SingleRoIExtractor',
    'roi_layer': {'type': 'RoIAlign', 'output_size': 2, 'sampling_ratio': 1},
    'out_channels': CHANNELS,
    'featmap_strides': [8],
}
MASK = {
    'mask_roi_extractor': EXTRACTOR,
    'mask_head': {
        'type': 'FCNMaskHead',
        'num_convs': 1,
        'in_channels': CHANNELS,
        'conv_out_channels': CHANNELS,
        'num_classes': CLASSES,
        'roi_feat_size': 2,
        'loss_mask': {'type': 'CrossEntropyLoss', 'use_mask': True, 'loss_weight': 1.0},
    },
}


def box_head(kind='RankingShared2FCBBoxHead', **changes):
    return {
        'type': kind,
        'in_channels': CHANNELS,
        'fc_out_channels': 8,
        'roi_feat_size': 2,
        'num_classes': CLASSES,
        'bbox_coder': {'type': 'DeltaXYWHBBoxCoder', 'target_stds': [0.1, 0.1, 0.2, 0.2]},
        'reg_decoded_bbox': True,
        'loss_cls': ALRP,
        'loss_bbox': {'type': 'GIoULoss', 'reduction': 'none'},
        **changes,
    }


def build(config):
    torch.manual_seed(0)
    module = MODELS.build(ConfigDict(config))
    for parameter in module.parameters():
        parameter.data.normal_(std=0.3)
    return module


def instances(*boxes, labels=None):
    found = InstanceData(bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    found.labels = torch.tensor(labels or [0] * len(boxes)).long()
    return found


def truths():
    """Two images with two boxes and one."""
    return [
        instances([4, 4, 36, 34], [30, 28, 62, 60], labels=[2, 0]),
        instances([8, 10, 44, 50], labels=[1]),
    ]


def proposals(num=12):
    """Boxes around the true ones and elsewhere."""
    generator = torch.Generator().manual_seed(3)
    found = []
    for truth in truths():
        near = truth.bboxes.repeat(3, 1)
        near = near + 4 * torch.rand(near.shape, generator=generator) - 2
        corners = 40 * torch.rand(num - len(near), 2, generator=generator)
        far = torch.cat([corners, corners + 6 + 14 * torch.rand(1, generator=generator)], 1)
        found.append(InstanceData(bboxes=torch.cat([far, near]).clamp(0, SIDE)))
    return found


def no_proposals():
    return [InstanceData(bboxes=torch.zeros(0, 4)) for _ in range(2)]


def sampled(found, true_boxes):
    """Sampling results of MMDetection's assigner and PseudoSampler."""
    assigner, sampler = TASK_UTILS.build(ASSIGNER), TASK_UTILS.build({'type': 'PseudoSampler'})
    results = []
    for image, truth in zip(found, true_boxes, strict=True):
        priors = InstanceData(priors=image.bboxes)
        results.append(sampler.sample(assigner.assign(priors, truth), priors, truth))
    return results


def samples(true_boxes):
    found = []
    for truth in true_boxes:
        truth = truth.clone()
        masks = torch.zeros(len(truth), SIDE, SIDE).numpy().astype('uint8')
        for mask, (left, top, right, bottom) in zip(masks, truth.bboxes.int(), strict=True):
            mask[top:bottom, left:right] = 1
        truth.masks = BitmapMasks(masks, SIDE, SIDE)
        meta = {'img_shape': (SIDE, SIDE), 'ori_shape': (SIDE, SIDE), 'scale_factor': (1, 1)}
        sample = DetDataSample(gt_instances=truth, metainfo=meta)
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0))
        found.append(sample)
    return found


def features():
    generator = torch.Generator().manual_seed(1)
    return (torch.randn(2, CHANNELS, 8, 8, generator=generator),)


def rank_sort_masks(**changes):
    """The second stage of Rank & Sort Mask R-CNN."""
    mask_head = {**MASK['mask_head'], 'type': 'RankingFCNMaskHead', 'loss_mask': None}
    loss = {'type': 'RankSortLoss', 'use_sigmoid': True}
    changes = {'bbox_head': box_head(loss_cls=loss), 'mask_head': mask_head, **changes}
    return standard(**{**MASK, 'type': 'RankingStandardRoIHead', **changes})


def standard(**changes):
    config = {
        'type': 'StandardRoIHead',
        'bbox_roi_extractor': EXTRACTOR,
        'bbox_head': box_head(),
        'train_cfg': RCNN,
        'test_cfg': TEST,
        **changes,
    }
    return build(config)


def cascade(stages=3, agnostic=True):
    return build(
        {
            'type': 'CascadeRoIHead',
            'num_stages': stages,
            'stage_loss_weights': [1, 0.5, 0.25][:stages],
            'bbox_roi_extractor': EXTRACTOR,
            'bbox_head': [box_head(reg_class_agnostic=agnostic) for _ in range(stages)],
            'train_cfg': [RCNN] * stages,
            'test_cfg': TEST,
        }
    )
