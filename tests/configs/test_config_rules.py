"""What every config of this repository keeps to."""

import re
from pathlib import Path

import mmdet
import pytest
from config_files import (
    CONFIGS,
    NAMES,
    PROMISED_LOSS,
    SMALL,
    STOCK,
    heads_of,
    is_transformer,
    load,
    loss_of,
    positive_thresholds,
)
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

BALANCED = [
    name
    for name in NAMES
    if loss_of(name) in ('alrp', 'ndcg') or '_sb_' in name or name.startswith('ap_retinanet_mnv2_')
]
RANKING = [name for name in NAMES if loss_of(name) not in ('focal', 'ce', 'qfl')]
ALRP = [name for name in NAMES if loss_of(name) == 'alrp']


@pytest.mark.parametrize('name', NAMES)
def test_losses_balance_themselves_where_they_should(name):
    cfg = load(name)
    hooks = [hook.type for hook in cfg.default_hooks.values()]
    for kind in ('SelfBalanceHook', 'FiniteLossHook', 'BatchCheckHook', 'SafeCheckpointHook'):
        assert hooks.count(kind) == 1
    if name in RANKING:
        init_default_scope('mmdet')
        for head in heads_of(cfg.model).values():
            balance = getattr(MODELS.build(head.loss_cls), 'balance', None)
            assert (balance is not None and balance.enabled) == (name in BALANCED)


@pytest.mark.parametrize('name', ['alrp_retinanet_r18_shapes', 'alrp_dino_r50_coco'])
def test_hooks_stay_where_a_config_that_inherits_sets_its_own(name, tmp_path):
    child = tmp_path / 'child.py'
    child.write_text(
        f"_base_ = '{CONFIGS}/{name}.py'\n"
        "custom_hooks = [dict(type='EMAHook')]\n"
        'default_hooks = dict(logger=dict(interval=7))\n'
    )
    cfg = Config.fromfile(child)
    hooks = [hook.type for hook in cfg.default_hooks.values()]
    assert {'SelfBalanceHook', 'FiniteLossHook', 'BatchCheckHook', 'SafeCheckpointHook'} <= {*hooks}
    assert [hook.type for hook in cfg.custom_hooks] == ['EMAHook']


@pytest.mark.parametrize('name', NAMES)
def test_every_head_has_the_loss_of_the_name(name):
    heads = heads_of(load(name).model)
    assert len(heads) == 1 + ('rcnn' in name) + 2 * ('cascade' in name)
    for head in heads.values():
        assert head.loss_cls.type == PROMISED_LOSS[loss_of(name)]
        assert head.type.startswith('Ranking') == (name in RANKING)
        assert name not in RANKING or head.loss_cls.use_sigmoid


@pytest.mark.parametrize('name', ALRP)
def test_tau_is_the_threshold_of_the_assigner(name):
    cfg = load(name)
    init_default_scope('mmdet')
    taus = [MODELS.build(head.loss_cls).tau for head in heads_of(cfg.model).values()]
    assert taus == positive_thresholds(cfg.model)


@pytest.mark.parametrize('name', NAMES)
def test_classes_of_data_and_model_agree(name):
    cfg = load(name)
    metainfo = cfg.train_dataloader.dataset.get('metainfo')
    if metainfo is None:
        init_default_scope('mmdet')
        metainfo = DATASETS.get(cfg.train_dataloader.dataset.type).METAINFO
    counts = {
        head.num_classes for where, head in heads_of(cfg.model).items() if where != 'rpn_head'
    }
    if 'mask_head' in cfg.model.get('roi_head', {}):
        counts.add(cfg.model.roi_head.mask_head.num_classes)
    assert counts == {len(metainfo['classes'])}


def twins(name):
    """Small configs of other losses that differ from this one in their losses alone."""
    loss, *rest = name.split('_')
    others = ['_'.join([other, *rest]) for other in PROMISED_LOSS if other != loss]
    return [other for other in others if other in SMALL]


def without_losses(name):
    """A config without what belongs to its losses."""
    cfg = load(name)
    for key in ('type', 'loss_cls', 'loss_bbox', 'loss_iou', 'loss_centerness', 'reg_decoded_bbox'):
        if key != 'loss_bbox' or not is_transformer(name):  # there it is the same L1 for all
            cfg.model.bbox_head.pop(key, None)
    for key in ('losses', 'rpn_losses', 'custom_hooks'):
        cfg.pop(key, None)
    return cfg.to_dict()


@pytest.mark.parametrize('name', [name for name in SMALL if 'rcnn' not in name and twins(name)])
def test_small_twins_differ_only_in_the_losses(name):
    for twin in twins(name):
        assert without_losses(name) == without_losses(twin)


@pytest.mark.parametrize('name', STOCK)
def test_recipe_of_mmdetection_stays_but_for_the_rate_that_the_config_names(name):
    cfg = load(name)
    text = (CONFIGS / f'{name}.py').read_text()
    (stock,) = [base for base in base_files(name) if base.startswith('mmdet::')]
    theirs = Config.fromfile(mmdet_config(stock))
    for key in ('train_dataloader', 'test_dataloader', 'param_scheduler', 'train_cfg'):
        assert unscoped(cfg[key]) == unscoped(theirs[key]), key
    rate = cfg.optim_wrapper.optimizer.lr
    assert (f'lr={rate}' in text) == (rate != theirs.optim_wrapper.optimizer.lr)
    images = re.search(r'for (\d+) images a step', text)
    assert images is None or int(images[1]) == cfg.auto_scale_lr.base_batch_size
    if '_dino_' in name or '_detr_' in name:
        l1, their_l1 = (each.model.bbox_head.loss_bbox for each in (cfg, theirs))
        assert unscoped(l1) == unscoped(their_l1)
        assert unscoped(cfg.model.train_cfg) == unscoped(theirs.model.train_cfg)


def unscoped(value):
    """A part of a config without the scopes that MMEngine notes where it inherits."""
    if isinstance(value, dict):
        return {key: unscoped(part) for key, part in value.items() if key != '_scope_'}
    return [unscoped(part) for part in value] if isinstance(value, (list, tuple)) else value


def base_files(name):
    """All files that a config inherits, those of MMDetection by their scoped names."""
    found, todo = [], [CONFIGS / f'{name}.py']
    while todo:
        path = todo.pop()
        bases = re.search(r"^_base_ = (\[.*?\]|'.*?')$", path.read_text(), re.DOTALL | re.MULTILINE)
        for base in re.findall(r"'(.*?)'", bases[1]) if bases else []:
            if '::' in base:
                found.append(base)
            else:
                todo.append(path.parent / base)
    return found


def mmdet_config(scoped):
    return Path(mmdet.__file__).parent / '.mim' / 'configs' / scoped.removeprefix('mmdet::')
