"""Losses and detections of whole models, for compiled operators and those on torchvision."""

import numpy as np
import torch
from config_files import build
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

NAMES = (
    'alrp_mask_rcnn_r50_500',
    'alrp_retinanet_atss_x101_dcn_800',
    'alrp_foveabox_deform_r50_500',
)
SIDE = 96
OBJECTS = [[8, 8, 56, 60], [40, 30, 90, 88]]
SHOWN = 20


def set_weights(model):
    """Give a model weights that no version of PyTorch changes, and keep its activations small."""
    random = np.random.RandomState(0)
    for name, parameter in model.named_parameters():
        values = random.standard_normal(tuple(parameter.shape)).astype(np.float32)
        if parameter.dim() > 1:
            fan_in = parameter[0].numel()
            is_box = '_reg' in name or 'conv_offset' in name
            parameter.data = torch.from_numpy(values * (0.1 if is_box else 1) / fan_in**0.5)
        elif name.endswith('bias'):
            parameter.data.zero_()
        elif 'bn3.weight' in name:  # ends a residual branch
            parameter.data.fill_(0.2)


def batch():
    random = np.random.RandomState(1)
    image = torch.from_numpy(random.randint(0, 256, (3, SIDE, SIDE)).astype(np.uint8))
    masks = np.zeros((len(OBJECTS), SIDE, SIDE), np.uint8)
    for mask, (left, top, right, bottom) in zip(masks, OBJECTS, strict=True):
        mask[top:bottom, left:right] = 1
    truth = InstanceData(bboxes=torch.tensor(OBJECTS).float(), labels=torch.tensor([0, 3]))
    truth.masks = BitmapMasks(masks, SIDE, SIDE)
    size = {'img_shape': (SIDE, SIDE), 'ori_shape': (SIDE, SIDE), 'scale_factor': (1.0, 1.0)}
    sample = DetDataSample(metainfo=size, gt_instances=truth)
    sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
    return {'inputs': [image], 'data_samples': [sample]}


def run(name):
    """Losses, the gradient's norm, and the best detections of a config."""
    model = build(name)
    set_weights(model)
    model.train()
    data = model.data_preprocessor(batch(), training=True)
    loss, log = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    grads = [p.grad.double().square().sum() for p in model.parameters() if p.grad is not None]
    model.eval()
    test_cfg = model.test_cfg.get('rcnn', model.test_cfg)
    test_cfg.score_thr = 0.0
    data = model.data_preprocessor(batch(), training=False)
    with torch.no_grad():
        (result,) = model(**data, mode='predict')
    found = result.pred_instances[:SHOWN]
    return {
        'losses': {key: float(value.detach()) for key, value in log.items()},
        'gradient': float(torch.stack(grads).sum().sqrt()),
        'detections': torch.cat((found.bboxes, found.scores[:, None]), dim=1).tolist(),
        'labels': found.labels.tolist(),
        'mask_pixels': found.masks.flatten(1).sum(1).tolist() if 'masks' in found else [],
    }
