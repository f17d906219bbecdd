"""Every config builds a detector that trains and predicts; nothing is downloaded."""

import math
import re

import pytest
import torch
from config_files import PROMISED_LOSS, SMALL, build, is_transformer, load, loss_of
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

SIDE = 64
BOX = [8, 8, 40, 42]
LOSSES = {'loss_cls', 'loss_bbox'}
QUERY_LOSSES = {'loss_cls', 'loss_bbox', 'loss_iou'}
MORE_LOSSES = {
    'focal_atss': {'loss_centerness'},
    'focal_fcos': {'loss_centerness'},
    'focal_paa': {'loss_iou'},
    **{f'{loss}_gfl': {'loss_dfl'} for loss in ('alrp', 'rs', 'qfl')},
}
RPN_LOSSES = {'loss_rpn_cls', 'loss_rpn_bbox'}
# Every head trains in a small config, and models of one data set are those of another but for the
# number of classes; of the others, what neither a small one has nor tests/operators trains
OF_OTHER_DATA = ('_mnv2_aquarium', '_mnv2_bccd', '_r18_bccd')
TRAINED = [name for name in SMALL if not name.endswith(OF_OTHER_DATA)]
TRAINED += ['ce_giou_faster_rcnn_r50_500', 'rs_deformable_detr_r50_coco']


def sample(boxes, with_masks):
    truth = InstanceData(bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    truth.labels = torch.zeros(len(boxes)).long()
    if with_masks:
        masks = torch.zeros(len(boxes), SIDE, SIDE)
        masks[:, BOX[1] : BOX[3], BOX[0] : BOX[2]] = 1
        truth.masks = BitmapMasks(masks.byte().numpy(), SIDE, SIDE)
    size = {'img_shape': (SIDE, SIDE), 'ori_shape': (SIDE, SIDE), 'scale_factor': (1.0, 1.0)}
    found = DetDataSample(metainfo=size, gt_instances=truth)
    found.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
    return found


def batch(with_masks=False):
    """An image with an object and one without."""
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(256, (3, SIDE, SIDE), generator=generator).byte() for _ in range(2)]
    return {'inputs': images, 'data_samples': [sample(boxes, with_masks) for boxes in ([BOX], [])]}


def expected_losses(name):
    if is_transformer(name):
        layers = [f'd{layer}.' for layer in range(load(name).model.decoder.num_layers - 1)]
        kinds = ['', *layers, *(['dn_', *(f'{d}dn_' for d in layers)] if 'dino' in name else [])]
        return {f'{kind}{loss}' for kind in (*kinds, 'enc_') for loss in QUERY_LOSSES}
    if 'rcnn' not in name:
        return LOSSES | MORE_LOSSES.get(re.sub('_r(18|50)_.*', '', name), set())
    if 'cascade' in name:
        return RPN_LOSSES | {f's{stage}.{loss}' for stage in range(3) for loss in LOSSES}
    return RPN_LOSSES | LOSSES | ({'loss_mask'} if 'mask' in name else set())


def train_one_step(name, model):
    if 'rcnn' in name:  # a small model's few proposals may all miss, before the RPN is trained
        model.train_cfg.rpn_proposal.update(nms_pre=2000, max_per_img=1000)
    data = model.data_preprocessor(batch('mask' in name), training=True)
    loss, log_vars = model.parse_losses(model(**data, mode='loss'))
    assert {key for key in log_vars if 'loss' in key} == expected_losses(name) | {'loss'}
    assert all(math.isfinite(value) for value in log_vars.values())
    # There are positives; an untrained RPN need not give any to the later stages of a cascade.
    later = ('s1.', 's2.')
    assert all(log_vars[key] > 0 for key in log_vars if 'bbox' in key and not key.startswith(later))
    loss.backward()
    for parameter_name, parameter in model.named_parameters():
        if parameter.requires_grad and 'backbone.conv2' not in parameter_name:  # MobileNet's last
            assert parameter.grad is not None, parameter_name
            assert parameter.grad.isfinite().all(), parameter_name


@torch.no_grad()
def predict(model):
    model.eval()
    test_cfg = model.test_cfg.get('rcnn', model.test_cfg)
    test_cfg.score_thr = 0.0
    data = model.data_preprocessor(batch(), training=False)
    return [result.pred_instances for result in model(**data, mode='predict')]


@pytest.mark.parametrize('name', TRAINED)
def test_model_trains_with_the_loss_of_its_name_and_predicts(name):
    torch.manual_seed(0)
    model = build(name).train()
    losses = [module for where, module in model.named_modules() if where.endswith('.loss_cls')]
    assert {type(module).__name__ for module in losses} == {PROMISED_LOSS[loss_of(name)]}
    train_one_step(name, model)
    roi = model.roi_head if 'rcnn' in name else None
    head = model.bbox_head if roi is None else roi.bbox_head
    num_classes = (head[-1] if 'cascade' in name else head).num_classes
    for found in predict(model):
        assert 0 < len(found) <= model.test_cfg.get('rcnn', model.test_cfg).max_per_img
        assert found.labels.max() < num_classes
        assert ((found.scores >= 0) & (found.scores <= 1)).all()
        assert found.bboxes.isfinite().all()
        if 'mask' in name:
            assert found.masks.shape == (len(found), SIDE, SIDE)


@pytest.mark.parametrize('name', [name for name in SMALL if loss_of(name) == 'alrp'])
def test_each_head_owns_a_ratio(name):
    # a buffer that two heads shared would be named once
    ratios = [where for where, _ in build(name).named_buffers() if where.endswith('balance.ratio')]
    assert len(ratios) == 1 + ('rcnn' in name) + 2 * ('cascade' in name)
