"""The configs of this repository, and how their names are read."""

from copy import deepcopy
from functools import cache
from pathlib import Path

from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

import mmdet_alrp  # noqa: F401 - registers what the configs name

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / 'configs'
NAMES = sorted(path.stem for path in CONFIGS.glob('*.py'))
COCO = [name for name in NAMES if name.endswith(('_500', '_800'))]
STOCK = [name for name in NAMES if name.endswith('_coco')]  # by MMDetection's own recipes
SMALL = [name for name in NAMES if name not in (*COCO, *STOCK)]
PROMISED_LOSS = {
    'alrp': 'ALRPLoss',
    'ap': 'APLoss',
    'ndcg': 'NDCGLoss',
    'rs': 'RankSortLoss',
    'focal': 'FocalLoss',
    'ce': 'CrossEntropyLoss',
    'qfl': 'QualityFocalLoss',
}


@cache
def _loaded(name):
    return Config.fromfile(CONFIGS / f'{name}.py')


def load(name):
    """A config of this repository, to be changed at will."""
    return deepcopy(_loaded(name))


def build(name):
    """The model of a config with random weights; nothing is downloaded."""
    cfg = load(name)
    init_default_scope('mmdet')
    cfg.model.backbone.init_cfg = None
    if not is_transformer(name):
        return MODELS.build(cfg.model)
    cfg.model.num_queries = 20  # the small images of the tests have few points
    model = MODELS.build(cfg.model)
    model.init_weights()  # some weights are whatever the memory held
    return model


def is_transformer(name):
    return '_dino_' in name or '_detr_' in name


def names(start='', *, containing=''):
    """Names of COCO configs by their loss and a part such as `_retinanet_`."""
    return [name for name in COCO if name.startswith(start) and containing in name]


def loss_of(name):
    return name.split('_')[0]


def heads_of(model):
    """Configs of a model's heads that classify: where they stand, and what they are."""
    if 'bbox_head' in model:
        return {'bbox_head': model.bbox_head}
    box_heads = model.roi_head.bbox_head
    stages = box_heads if isinstance(box_heads, list) else [box_heads]
    return {
        'rpn_head': model.rpn_head,
        **{f'roi_head.{stage}': head for stage, head in enumerate(stages)},
    }


def positive_thresholds(model):
    """IoU from which a box is positive, in the order of `heads_of`; ATSS and FoveaBox have none."""
    train_cfg = model.train_cfg
    if 'bbox_head' in model:
        return [train_cfg.get('assigner', {}).get('pos_iou_thr', 0.5)]
    stages = train_cfg.rcnn if isinstance(train_cfg.rcnn, list) else [train_cfg.rcnn]
    return [stage.assigner.pos_iou_thr for stage in (train_cfg.rpn, *stages)]


def step_of(pipeline, kind):
    (found,) = (step for step in pipeline if step.type == kind)
    return found
