from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

import mmdet_alrp  # noqa: F401 - registers what the configs name

CONFIGS = Path(__file__).resolve().parents[1] / 'configs'
NAMES = sorted(path.stem for path in CONFIGS.glob('*.py'))
PROMISED_LOSS = {'alrp': 'ALRPLoss', 'ap': 'APLoss', 'focal': 'FocalLoss'}
PUBLISHED = ['alrp_retinanet_r50_500', 'alrp_retinanet_atss_r50_500']
SIDE = 64


def load(name):
    return Config.fromfile(CONFIGS / f'{name}.py')


def build(name):
    """The model of a config with random weights; nothing is downloaded."""
    cfg = load(name)
    init_default_scope('mmdet')
    cfg.model.backbone.init_cfg = None
    torch.manual_seed(0)
    return MODELS.build(cfg.model)


def sample(boxes):
    truth = InstanceData(bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))
    truth.labels = torch.zeros(len(boxes)).long()
    size = {'img_shape': (SIDE, SIDE), 'ori_shape': (SIDE, SIDE), 'scale_factor': (1.0, 1.0)}
    found = DetDataSample(metainfo=size, gt_instances=truth)
    found.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0).long())
    return found


def batch():
    generator = torch.Generator().manual_seed(0)
    images = [torch.randint(256, (3, SIDE, SIDE), generator=generator).byte() for _ in range(2)]
    return {'inputs': images, 'data_samples': [sample([[8, 8, 40, 42]]), sample([])]}


def transform(pipeline, kind):
    (found,) = (step for step in pipeline if step.type == kind)
    return found


def test_there_are_configs():
    assert set(PUBLISHED) <= set(NAMES)
    for data_set in ('shapes', 'bccd'):
        assert {f'{loss}_retinanet_r18_{data_set}' for loss in ('alrp', 'focal')} <= set(NAMES)


@pytest.mark.parametrize('name', NAMES)
def test_config_imports_the_package(name):
    assert load(name).custom_imports.imports == ['mmdet_alrp']


@pytest.mark.parametrize('name', NAMES)
def test_hook_goes_with_the_ranking_loss(name):
    hooks = [hook.type for hook in load(name).get('custom_hooks', [])]
    assert hooks.count('SelfBalanceHook') == name.startswith('alrp_')


@pytest.mark.parametrize('name', NAMES)
def test_model_trains_with_the_loss_of_its_name_and_predicts(name):
    model = build(name).train()
    assert type(model.bbox_head.loss_cls).__name__ == PROMISED_LOSS[name.split('_')[0]]
    data = model.data_preprocessor(batch(), training=True)
    loss, log_vars = model.parse_losses(model(**data, mode='loss'))
    loss.backward()
    assert {'loss_cls', 'loss_bbox'} <= set(log_vars)
    assert log_vars['loss_bbox'] > 0  # there are positives
    for parameter_name, parameter in model.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, parameter_name
            assert parameter.grad.isfinite().all(), parameter_name

    model.eval()
    model.test_cfg.score_thr = 0.0
    data = model.data_preprocessor(batch(), training=False)
    with torch.no_grad():
        results = model(**data, mode='predict')
    for result in results:
        assert len(result.pred_instances)
        assert result.pred_instances.labels.max() < model.bbox_head.num_classes


@pytest.mark.parametrize('name', NAMES)
def test_classes_of_data_and_model_agree(name):
    cfg = load(name)
    head_classes = cfg.model.bbox_head.num_classes
    metainfo = cfg.train_dataloader.dataset.get('metainfo')
    if metainfo is None:
        init_default_scope('mmdet')
        from mmdet.registry import DATASETS

        metainfo = DATASETS.get(cfg.train_dataloader.dataset.type).METAINFO
    assert len(metainfo['classes']) == head_classes


@pytest.mark.parametrize('name', [name for name in NAMES if name.startswith('alrp_')])
def test_tau_is_the_threshold_of_the_assigner(name):
    cfg = load(name)
    tau = MODELS.build(cfg.model.bbox_head.loss_cls).tau
    assert tau == cfg.model.train_cfg.assigner.get('pos_iou_thr', 0.5)


@pytest.mark.parametrize(
    'name', [name for name in NAMES if name.startswith('alrp_') and name not in PUBLISHED]
)
def test_twin_differs_only_in_the_losses(name):
    twin = load(name.replace('alrp_', 'focal_'))
    cfg = load(name)
    for key in ('type', 'loss_cls', 'loss_bbox'):
        cfg.model.bbox_head.pop(key)
        twin.model.bbox_head.pop(key)
    cfg.pop('custom_hooks')
    assert cfg.to_dict() == twin.to_dict()


# The recipe of the published models


@pytest.mark.parametrize(
    ('name', 'milestones'), zip(PUBLISHED, ([60, 80], [75, 95]), strict=True), ids=PUBLISHED
)
def test_published_schedule(name, milestones):
    cfg = load(name)
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr) == ('SGD', 0.008)
    assert (optimizer.momentum, optimizer.weight_decay) == (0.9, 1e-4)
    assert 'clip_grad' not in cfg.optim_wrapper
    assert cfg.auto_scale_lr.base_batch_size == 32 == 4 * cfg.train_dataloader.batch_size
    assert cfg.train_cfg.max_epochs == 100
    warm_up, steps = cfg.param_scheduler
    assert (warm_up.type, warm_up.by_epoch, warm_up.start_factor) == ('LinearLR', False, 0.001)
    assert (warm_up.begin, warm_up.end) == (0, 500)
    assert (steps.type, steps.by_epoch, steps.gamma) == ('MultiStepLR', True, 0.1)
    assert steps.milestones == milestones
    assert (steps.begin, steps.end) == (0, 100)


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_pipelines(name):
    cfg = load(name)
    train = cfg.train_dataloader.dataset.pipeline
    kinds = [step.type for step in train]
    assert kinds == [
        'LoadImageFromFile',
        'LoadAnnotations',
        'PhotoMetricDistortion',
        'Expand',
        'MinIoURandomCrop',
        'Resize',
        'RandomFlip',
        'PackDetInputs',
    ]
    assert transform(train, 'Expand').ratio_range == (1, 4)
    assert transform(train, 'Expand').to_rgb
    assert transform(train, 'Expand').mean == cfg.model.data_preprocessor.mean
    assert transform(train, 'MinIoURandomCrop').min_ious == (0.1, 0.3, 0.5, 0.7, 0.9)
    assert transform(train, 'RandomFlip').prob == 0.5
    resize = transform(train, 'Resize')
    assert (resize.scale, resize.keep_ratio) == ((512, 512), False)
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        resize = transform(loader.dataset.pipeline, 'Resize')
        assert (resize.scale, resize.keep_ratio) == ((833, 500), True)
    assert cfg.val_evaluator.type == cfg.test_evaluator.type == 'CocoLRPMetric'


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_model(name):
    model = load(name).model
    assert (model.backbone.type, model.backbone.depth) == ('ResNet', 50)
    assert model.backbone.norm_eval
    assert model.backbone.init_cfg.checkpoint == 'torchvision://resnet50'
    test_cfg = model.test_cfg
    assert (test_cfg.nms.type, test_cfg.nms.iou_threshold) == ('nms', 0.5)
    assert (test_cfg.nms_pre, test_cfg.max_per_img) == (1000, 100)
    head = model.bbox_head
    assert (head.type, head.num_classes, head.reg_decoded_bbox) == ('RankingRetinaHead', 80, True)
    assert head.loss_cls == {'type': 'ALRPLoss', 'use_sigmoid': True}
    assert head.loss_bbox == {'type': 'GIoULoss', 'reduction': 'none'}
    assert head.bbox_coder.target_stds == [0.1, 0.1, 0.2, 0.2]
    assert head.bbox_coder.target_means == [0.0, 0.0, 0.0, 0.0]
    anchors = head.anchor_generator
    assert (anchors.octave_base_scale, anchors.scales_per_octave) == (4, 2)
    assert anchors.strides == [8, 16, 32, 64, 128]


def test_published_max_iou_assigner():
    model = load('alrp_retinanet_r50_500').model
    assigner = model.train_cfg.assigner
    assert assigner.type == 'MaxIoUAssigner'
    assert (assigner.pos_iou_thr, assigner.neg_iou_thr, assigner.min_pos_iou) == (0.5, 0.4, 0)
    assert model.bbox_head.anchor_generator.ratios == [0.5, 1.0, 2.0]


def test_published_atss_assigner():
    model = load('alrp_retinanet_atss_r50_500').model
    assert model.train_cfg.assigner == {'type': 'ATSSAssigner', 'topk': 9}
    assert model.bbox_head.anchor_generator.ratios == [1.0]
