"""The recipes of the published models, number by number."""

import pytest
import torch
from config_files import COCO, load, loss_of, names, step_of
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData

DEEP = [name for name in COCO if 'x101' in name]
RETINANET = [name for name in COCO if '_retinanet_' in name]
ATSS_ASSIGNER = [name for name in COCO if 'atss' in name]
MAX_IOU = [name for name in RETINANET if 'atss' not in name]
FOVEABOX = names(containing='_foveabox_')
TWO_STAGE = names(containing='rcnn')
RANKING_TWO_STAGE = [name for name in TWO_STAGE if loss_of(name) != 'ce']
FASTER_RANKING = [name for name in RANKING_TWO_STAGE if 'faster' in name]
GIOU = {'type': 'GIoULoss', 'reduction': 'none'}


def learning_rate(name):
    """The published rate; of what was not published, that of its aLRP sibling."""
    if 'rcnn' in name:
        return 0.04 if loss_of(name) == 'ce' else 0.012
    if name.endswith('_800'):
        return 0.004
    return {'focal': 0.02, 'ap': 0.002}.get(loss_of(name), 0.008)


@pytest.mark.parametrize('name', COCO)
def test_optimizer(name):
    wrapper = load(name).optim_wrapper
    assert wrapper.type == 'OptimWrapper'
    assert wrapper.optimizer == {
        'type': 'SGD',
        'lr': learning_rate(name),
        'momentum': 0.9,
        'weight_decay': 1e-4,
    }
    assert 'clip_grad' not in wrapper


@pytest.mark.parametrize('name', COCO)
def test_schedule(name):
    cfg = load(name)
    assert cfg.train_cfg.max_epochs == 100
    warm_up, steps = cfg.param_scheduler
    assert warm_up == {
        'type': 'LinearLR',
        'start_factor': 0.001,
        'by_epoch': False,
        'begin': 0,
        'end': 500,
    }
    early = name in MAX_IOU or name.endswith('_800')
    assert steps == {
        'type': 'MultiStepLR',
        'by_epoch': True,
        'begin': 0,
        'end': 100,
        'gamma': 0.1,
        'milestones': [60, 80] if early else [75, 95],
    }


@pytest.mark.parametrize('name', COCO)
def test_sizes_and_batch(name):
    cfg = load(name)
    square, longer, shorter, batch = (
        (800, 1333, 800, 4) if name.endswith('_800') else (512, 833, 500, 8)
    )
    resize = step_of(cfg.train_dataloader.dataset.pipeline, 'Resize')
    assert (resize.scale, resize.keep_ratio) == ((square, square), False)
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        resize = step_of(loader.dataset.pipeline, 'Resize')
        assert (resize.scale, resize.keep_ratio) == ((longer, shorter), True)
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.auto_scale_lr == {'enable': False, 'base_batch_size': 4 * batch}


@pytest.mark.parametrize('name', COCO)
def test_augmentation(name):
    cfg = load(name)
    train = cfg.train_dataloader.dataset.pipeline
    assert [step.type for step in train] == [
        'LoadImageFromFile',
        'LoadAnnotations',
        'PhotoMetricDistortion',
        'Expand',
        'MinIoURandomCrop',
        'Resize',
        'RandomFlip',
        'PackDetInputs',
    ]
    expand = step_of(train, 'Expand')
    assert (expand.ratio_range, expand.to_rgb) == ((1, 4), True)
    assert expand.mean == cfg.model.data_preprocessor.mean
    assert step_of(train, 'MinIoURandomCrop').min_ious == (0.1, 0.3, 0.5, 0.7, 0.9)
    assert step_of(train, 'RandomFlip').prob == 0.5
    assert cfg.val_evaluator.type == cfg.test_evaluator.type == 'CocoLRPMetric'


@pytest.mark.parametrize('name', COCO)
def test_inference(name):
    test_cfg = load(name).model.test_cfg
    boxes = test_cfg.get('rcnn', test_cfg)
    assert boxes.nms == {'type': 'nms', 'iou_threshold': 0.5}
    assert boxes.max_per_img == 100
    if 'rcnn' in name:
        assert (test_cfg.rpn.nms_pre, test_cfg.rpn.max_per_img) == (1000, 1000)
    else:
        assert boxes.nms_pre == 1000


@pytest.mark.parametrize('name', [name for name in COCO if name not in DEEP])
def test_resnet(name):
    backbone = load(name).model.backbone
    depth = 101 if 'r101' in name else 50
    assert (backbone.type, backbone.depth) == ('ResNet', depth)
    assert backbone.norm_eval
    assert backbone.init_cfg == {
        'type': 'Pretrained',
        'checkpoint': f'torchvision://resnet{depth}',
    }


@pytest.mark.parametrize('name', DEEP)
def test_resnext(name):
    backbone = load(name).model.backbone
    assert (backbone.type, backbone.depth) == ('ResNeXt', 101)
    assert (backbone.groups, backbone.base_width) == (64, 4)
    assert backbone.norm_eval  # the authors leave it out, and the default of their ResNet is True
    assert backbone.init_cfg.checkpoint == 'open-mmlab://resnext101_64x4d'
    deformable = 'dcn' in name
    assert ('dcn' in backbone) == deformable
    if deformable:
        assert backbone.dcn.type == 'DCNv2'
        assert backbone.stage_with_dcn == (False, True, True, True)  # of stages 2 to 5


@pytest.mark.parametrize('name', RETINANET)
def test_retinanet(name):
    model = load(name).model
    assert model.type == 'RetinaNet'
    anchors = model.bbox_head.anchor_generator
    octaves = 3 if name.endswith('_800') else 2
    assert (anchors.octave_base_scale, anchors.scales_per_octave) == (4, octaves)
    assert anchors.strides == [8, 16, 32, 64, 128]
    assert anchors.ratios == ([0.5, 1.0, 2.0] if name in MAX_IOU else [1.0])
    assert model.bbox_head.bbox_coder.target_stds == [0.1, 0.1, 0.2, 0.2]
    assert model.bbox_head.bbox_coder.target_means == [0.0] * 4


@pytest.mark.parametrize('name', MAX_IOU)
def test_max_iou_assigner(name):
    assigner = load(name).model.train_cfg.assigner
    assert assigner.type == 'MaxIoUAssigner'
    assert (assigner.pos_iou_thr, assigner.neg_iou_thr, assigner.min_pos_iou) == (0.5, 0.4, 0)


@pytest.mark.parametrize('name', ATSS_ASSIGNER)
def test_atss_assigner(name):
    assert load(name).model.train_cfg.assigner == {'type': 'ATSSAssigner', 'topk': 9}


@pytest.mark.parametrize('name', [*names('alrp_retinanet'), 'alrp_atss_r50_500'])
def test_alrp_losses(name):
    head = load(name).model.bbox_head
    assert head.loss_cls == {'type': 'ALRPLoss', 'use_sigmoid': True}
    assert head.loss_bbox == GIOU
    assert head.reg_decoded_bbox


@pytest.mark.parametrize('name', ['ap_retinanet_r50_500', 'ap_retinanet_atss_r50_500'])
def test_ap_losses(name):
    head = load(name).model.bbox_head
    assert head.loss_cls == {'type': 'APLoss', 'use_sigmoid': True}
    assert not head.reg_decoded_bbox
    # the mean over positives and their four deltas
    assert head.loss_bbox == {'type': 'SmoothL1Loss', 'beta': 1.0, 'loss_weight': 1 / 4}


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


@pytest.mark.parametrize('name', names('rs_'))
def test_rank_sort_losses(name):
    model = load(name).model
    for head in [model.bbox_head] if 'bbox_head' in model else [model.roi_head.bbox_head]:
        assert head.loss_cls.delta == 0.5
        assert head.loss_bbox == GIOU
        assert head.reg_decoded_bbox


@pytest.mark.parametrize('name', FOVEABOX)
def test_foveabox(name):
    model = load(name).model
    head = model.bbox_head
    assert model.type == 'FOVEA'
    assert head.strides == [8, 16, 32, 64, 128]
    assert head.base_edge_list == [16, 32, 64, 128, 256]
    assert head.scale_ranges == ((1, 64), (32, 128), (64, 256), (128, 512), (256, 2048))
    assert head.sigma == 0.4
    assert head.with_deform == ('deform' in name)
    assert head.type == ('FoveaHead' if loss_of(name) == 'focal' else 'RankingFoveaHead')
    if loss_of(name) == 'focal':
        assert (head.loss_cls.gamma, head.loss_cls.alpha) == (1.5, 0.4)
        assert head.loss_bbox == {'type': 'SmoothL1Loss', 'beta': 0.11}
    elif loss_of(name) == 'ap':
        assert head.loss_bbox == {'type': 'SmoothL1Loss', 'beta': 0.11, 'loss_weight': 1 / 4}
        assert not head.reg_decoded_bbox
    else:
        assert head.loss_bbox == GIOU
        assert head.reg_decoded_bbox


@pytest.mark.parametrize('name', RANKING_TWO_STAGE)
def test_two_stages_without_sampler(name):
    model = load(name).model
    rcnn = model.train_cfg.rcnn
    for stage in (model.train_cfg.rpn, *(rcnn if isinstance(rcnn, list) else [rcnn])):
        if loss_of(name) == 'rs' and stage is rcnn:  # a test of its own is below
            continue
        assert stage.sampler == {'type': 'PseudoSampler'}
    assert model.train_cfg.rpn_proposal.max_per_img == 1000
    assigner = model.train_cfg.rpn.assigner
    assert (assigner.pos_iou_thr, assigner.neg_iou_thr) == (0.7, 0.3)
    anchors = model.rpn_head.anchor_generator
    assert (anchors.scales, anchors.ratios) == ([8], [0.5, 1.0, 2.0])
    assert model.rpn_head.bbox_coder.target_stds == [0.1, 0.1, 0.2, 0.2]
    assert model.rpn_head.loss_cls.loss_weight == 0.2


@pytest.mark.parametrize('name', FASTER_RANKING)
def test_ranking_box_head_of_faster_rcnn(name):
    model = load(name).model
    box_head = model.roi_head.bbox_head
    assert model.train_cfg.rcnn.assigner.pos_iou_thr == 0.5
    assert box_head.bbox_coder.target_stds == [0.1, 0.1, 0.2, 0.2]
    assert box_head.loss_cls.get('loss_weight', 1) == 1
    assert box_head.reg_decoded_bbox == (loss_of(name) != 'ap')
    assert model.rpn_head.reg_decoded_bbox == (loss_of(name) != 'ap')


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


def test_alrp_faster_rcnn():
    model = load('alrp_faster_rcnn_r50_500').model
    assert model.rpn_head.loss_cls == {
        'type': 'ALRPLoss',
        'use_sigmoid': True,
        'tau': 0.7,
        'loss_weight': 0.2,
    }
    assert model.roi_head.bbox_head.loss_cls == {'type': 'ALRPLoss', 'use_sigmoid': True}
    assert model.rpn_head.loss_bbox == model.roi_head.bbox_head.loss_bbox == GIOU


@pytest.mark.parametrize(
    ('name', 'box_loss', 'weight'),
    [('ce_l1_faster_rcnn_r50_500', 'L1Loss', 1), ('ce_giou_faster_rcnn_r50_500', 'GIoULoss', 10)],
)
def test_cross_entropy_baselines(name, box_loss, weight):
    model = load(name).model
    box_head = model.roi_head.bbox_head
    assert (box_head.type, model.rpn_head.type) == ('Shared2FCBBoxHead', 'RPNHead')
    assert box_head.loss_bbox == {'type': box_loss, 'loss_weight': weight}
    assert box_head.get('reg_decoded_bbox', False) == (box_loss == 'GIoULoss')
    assert model.train_cfg.rpn.sampler.type == model.train_cfg.rcnn.sampler.type == 'RandomSampler'


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
