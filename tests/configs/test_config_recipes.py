"""The recipes of the published models where a change of a shared base would go unseen."""

import pytest
import torch
from config_files import COCO, heads_of, load, loss_of, step_of
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData


def learning_rate(name):
    """The published rate; of what was not published, that of its aLRP sibling."""
    if 'rcnn' in name:
        return 0.04 if loss_of(name) == 'ce' else 0.012
    if name.endswith('_800'):
        return 0.004
    return {'focal': 0.02, 'ap': 0.002}.get(loss_of(name), 0.008)


@pytest.mark.parametrize('name', COCO)
def test_published_rate_schedule_and_sizes(name):
    cfg = load(name)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.lr, optimizer.weight_decay) == (learning_rate(name), 1e-4)
    max_iou = '_retinanet_' in name and 'atss' not in name
    early = max_iou or name.endswith('_800')
    assert cfg.train_cfg.max_epochs == 100
    assert cfg.param_scheduler[1].milestones == ([60, 80] if early else [75, 95])
    train, test, batch = (
        ((800, 800), (1333, 800), 4) if name.endswith('_800') else ((512, 512), (833, 500), 8)
    )
    assert step_of(cfg.train_dataloader.dataset.pipeline, 'Resize').scale == train
    assert step_of(cfg.test_dataloader.dataset.pipeline, 'Resize').scale == test
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.auto_scale_lr == {'enable': False, 'base_batch_size': 4 * batch}
    ranked = loss_of(name) in ('alrp', 'ndcg', 'rs')
    for head in heads_of(cfg.model).values() if ranked else ():
        assert head.reg_decoded_bbox and head.loss_bbox == {'type': 'GIoULoss', 'reduction': 'none'}


@pytest.mark.parametrize(
    ('form', 'box_loss', 'balanced'),
    [
        ('sb', 'SmoothL1Loss', True),
        ('iou', 'IoULoss', False),
        ('iou_sb', 'IoULoss', True),
        ('giou', 'GIoULoss', False),
        ('giou_sb', 'GIoULoss', True),
    ],
)
def test_forms_of_ap_loss(form, box_loss, balanced):
    cfg = load(f'ap_{form}_retinanet_r50_500')
    head = cfg.model.bbox_head
    assert head.loss_cls.get('self_balance', False) == balanced
    assert head.loss_bbox.type == box_loss
    assert head.loss_bbox.get('mode', 'linear') == 'linear'
    assert head.loss_bbox.get('loss_weight', 1) == (1 / 4 if box_loss == 'SmoothL1Loss' else 1)
    assert head.reg_decoded_bbox == (box_loss != 'SmoothL1Loss')


def test_faster_rcnn_of_rank_and_sort_keeps_all_proposals_and_adds_the_ground_truth():
    model = load('rs_faster_rcnn_r50_500').model
    assert model.test_cfg.rcnn.score_thr == 0.4
    generator = torch.Generator().manual_seed(0)
    corners = 100 * torch.rand(700, 2, generator=generator)
    true_boxes = torch.cat([corners[:30], corners[:30] + 40], 1)
    near = true_boxes.repeat(20, 1)[:500] + 4 * torch.rand(500, 4, generator=generator)
    proposals = torch.cat([near, torch.cat([corners, corners + 9], 1)])
    priors = InstanceData(priors=proposals)
    truth = InstanceData(bboxes=true_boxes, labels=torch.zeros(30).long())
    assigner = TASK_UTILS.build(model.train_cfg.rcnn.assigner)
    sampler = TASK_UTILS.build(model.train_cfg.rcnn.sampler)
    found = sampler.sample(assigner.assign(priors, truth), priors, truth)
    expected = torch.cat([true_boxes, proposals])
    order = [sorted(map(tuple, boxes.tolist())) for boxes in (found.priors, expected)]
    assert order[0] == order[1]
    assert len(found.pos_priors) > 500


@pytest.mark.parametrize('detector', ['retinanet', 'retinanet_atss', 'atss'])
def test_focal_twin_differs_only_in_losses_and_rate(detector):
    twin = load(f'focal_{detector}_r50_500')
    cfg = load(f'alrp_{detector}_r50_500')
    assert twin.model.bbox_head.type in ('RetinaHead', 'RetinaATSSHead', 'ATSSHead')
    assert twin.model.bbox_head.loss_cls == {
        'type': 'FocalLoss',
        'use_sigmoid': True,
        'gamma': 2.0,
        'alpha': 0.25,
    }
    assert twin.model.bbox_head.loss_bbox == {'type': 'GIoULoss', 'loss_weight': 2.0}
    for config in (cfg, twin):
        for key in ('type', 'loss_cls', 'loss_bbox'):
            config.model.bbox_head.pop(key)
        for key in ('losses', 'rpn_losses'):
            config.pop(key, None)
        config.optim_wrapper.optimizer.pop('lr')
    assert cfg.to_dict() == twin.to_dict()
