"""What every config of this repository keeps to."""

import pytest
from config_files import (
    CONFIGS,
    NAMES,
    PROMISED_LOSS,
    SMALL,
    heads_of,
    load,
    loss_of,
    positive_thresholds,
)
from mmdet.registry import DATASETS, MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

BALANCED = [name for name in NAMES if loss_of(name) in ('alrp', 'ndcg') or '_sb_' in name]
RANKING = [name for name in NAMES if loss_of(name) not in ('focal', 'ce')]
ALRP = [name for name in NAMES if loss_of(name) == 'alrp']
PROMISED_NAMES = {
    *(f'{loss}_retinanet_r50_500' for loss in ('alrp', 'ap', 'ndcg', 'focal', 'rs')),
    *(f'{loss}_retinanet_atss_r50_500' for loss in ('alrp', 'ap', 'ndcg', 'focal', 'rs')),
    *(f'ap_{form}_retinanet_r50_500' for form in ('sb', 'iou', 'iou_sb', 'giou', 'giou_sb')),
    *(f'alrp_retinanet_{backbone}_500' for backbone in ('r101', 'x101')),
    *(f'alrp_retinanet_atss_{backbone}_500' for backbone in ('r101', 'x101')),
    *(f'alrp_retinanet_atss_{backbone}_800' for backbone in ('r101', 'x101', 'x101_dcn')),
    *(f'{loss}_foveabox_r50_500' for loss in ('alrp', 'ap', 'ndcg', 'focal')),
    *(f'{loss}_foveabox_deform_r50_500' for loss in ('alrp', 'ap', 'ndcg', 'focal')),
    *(f'{loss}_faster_rcnn_r50_500' for loss in ('alrp', 'ap', 'ndcg', 'rs', 'ce_l1', 'ce_giou')),
    *('alrp_atss_r50_500', 'focal_atss_r50_500'),
    *('alrp_cascade_rcnn_r50_500', 'alrp_mask_rcnn_r50_500'),
    *(
        f'alrp_{detector}_r18_shapes'
        for detector in ('foveabox', 'atss', 'faster_rcnn', 'cascade_rcnn', 'mask_rcnn')
    ),
    *(f'{loss}_retinanet_r18_shapes' for loss in ('alrp', 'focal', 'ap', 'ndcg', 'rs')),
    *(f'{loss}_retinanet_r18_bccd' for loss in ('alrp', 'rs', 'focal')),
}


def test_all_promised_configs_are_there():
    assert set(NAMES) == PROMISED_NAMES


@pytest.mark.parametrize('path', sorted(CONFIGS.rglob('*.py')), ids=lambda path: path.stem)
def test_config_is_short(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= (80 if path.parent.name == '_base_' else 40)


def test_only_one_file_of_a_tool_box_imports_the_package():
    importing = {path for path in CONFIGS.rglob('*.py') if 'custom_imports' in path.read_text()}
    folders = (CONFIGS, CONFIGS / 'segmentation')
    assert importing == {folder / '_base_' / 'runtime.py' for folder in folders}


@pytest.mark.parametrize('name', NAMES)
def test_config_imports_the_package(name):
    assert load(name).custom_imports.imports == ['mmdet_alrp']


@pytest.mark.parametrize('name', NAMES)
def test_losses_balance_themselves_where_they_should_and_the_hook_is_there(name, tmp_path):
    child = tmp_path / 'child.py'
    child.write_text(
        f"_base_ = '{CONFIGS}/{name}.py'\n"
        "custom_hooks = [dict(type='EMAHook')]\n"
        'default_hooks = dict(logger=dict(interval=7))\n'
    )
    cfg = Config.fromfile(child)
    hooks = [hook.type for hook in cfg.default_hooks.values()]
    for kind in ('SelfBalanceHook', 'FiniteLossHook', 'BatchCheckHook', 'SafeCheckpointHook'):
        assert hooks.count(kind) == 1
    assert [hook.type for hook in cfg.custom_hooks] == ['EMAHook']
    if name in RANKING:
        init_default_scope('mmdet')
        for head in heads_of(cfg.model).values():
            balance = getattr(MODELS.build(head.loss_cls), 'balance', None)
            assert (balance is not None and balance.enabled) == (name in BALANCED)


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


@pytest.mark.parametrize('name', [name for name in NAMES if 'mask' in name])
def test_masks_are_loaded_and_judged(name):
    cfg = load(name)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert [step.get('with_mask') for step in loader.dataset.pipeline].count(True) == 1
    assert cfg.val_evaluator.metric == cfg.test_evaluator.metric == ['bbox', 'segm']


@pytest.mark.parametrize(
    'name',
    [
        name
        for name in RANKING
        if loss_of(name) == 'alrp' and name.replace('alrp_', 'focal_') in NAMES and name in SMALL
    ],
)
def test_small_twin_differs_only_in_the_losses(name):
    twin = load(name.replace('alrp_', 'focal_'))
    cfg = load(name)
    for config in (cfg, twin):
        for key in ('type', 'loss_cls', 'loss_bbox'):
            config.model.bbox_head.pop(key)
        for key in ('losses', 'rpn_losses'):
            config.pop(key, None)
    assert cfg.to_dict() == twin.to_dict()


@pytest.mark.parametrize(
    'name', [name for name in NAMES if loss_of(name) in ('ap', 'ndcg', 'rs') and name in SMALL]
)
def test_small_variant_differs_from_alrp_only_in_the_losses(name):
    sibling = load('_'.join(['alrp', *name.split('_')[1:]]))
    cfg = load(name)
    for config in (cfg, sibling):
        for key in ('loss_cls', 'loss_bbox', 'reg_decoded_bbox'):
            config.model.bbox_head.pop(key)
        for key in ('losses', 'rpn_losses'):
            config.pop(key, None)
    assert cfg.to_dict() == sibling.to_dict()
