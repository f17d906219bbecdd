"""Every row of the ablation is what its name says, and differs from the others in that alone."""

import importlib
import sys

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.registry import init_default_scope
from tiny_runs import REPO

FOCAL = {'type': 'FocalLoss', 'use_sigmoid': True, 'gamma': 2.0, 'alpha': 0.25}
GIOU = {'type': 'GIoULoss', 'reduction': 'none'}
WEIGHTED_GIOU = {'type': 'GIoULoss', 'loss_weight': 2.0}
IOU = {'type': 'IoULoss', 'mode': 'linear', 'reduction': 'none'}
# Classification loss with what is not its default, box loss, self-balance, ATSS
SETTINGS = {
    'ce_giou': (
        {'type': 'CrossEntropyLoss'},
        {'type': 'GIoULoss', 'loss_weight': 2.0},
        False,
        False,
    ),
    'focal_l1': (FOCAL, {'type': 'L1Loss', 'loss_weight': 1.0}, False, False),
    'focal_giou': (FOCAL, WEIGHTED_GIOU, False, False),
    'ap_smooth_l1': (
        {'type': 'APLoss'},
        {'type': 'SmoothL1Loss', 'beta': 1.0, 'loss_weight': 0.25},
        False,
        False,
    ),
    'ap_giou_sb': ({'type': 'APLoss', 'self_balance': True}, GIOU, True, False),
    'alrp_iou': ({'type': 'ALRPLoss', 'self_balance': False}, IOU, False, False),
    'alrp_iou_sb': ({'type': 'ALRPLoss'}, IOU, True, False),
    'alrp_giou_sb': ({'type': 'ALRPLoss'}, GIOU, True, False),
    'alrp_giou_sb_atss': ({'type': 'ALRPLoss'}, GIOU, True, True),
    'ndcg_giou_sb': ({'type': 'NDCGLoss', 'self_balance': True}, GIOU, True, False),
    'rs_giou': ({'type': 'RankSortLoss', 'delta': 0.5}, GIOU, False, False),
}
EVERY_ROW = [(row, data) for row in SETTINGS for data in ('shapes', 'bccd')]


@pytest.fixture(scope='module')
def rows():
    added = [str(REPO / 'tools' / 'benchmarks'), str(REPO / 'tools')]
    sys.path[:0] = added
    try:
        yield importlib.import_module('ablation_rows')
    finally:
        for path in added:
            sys.path.remove(path)


def settings(rows, data='shapes', epochs=None, amp=False, **options):
    return rows.Settings(data, rows.DATA_ROOTS[data], epochs, amp, options)


def test_rows_are_those_of_the_table(rows):
    assert list(rows.ROWS) == list(SETTINGS)
    assert [row for row in SETTINGS if row != 'ce_giou'] == rows.TABLE_ROWS
    assert rows.TWIN in rows.TABLE_ROWS
    files = {rows.config_file(row, data) for row, data in EVERY_ROW}
    assert files == set((REPO / 'configs' / 'ablation').glob('*.py'))


@pytest.mark.parametrize(('row', 'data'), EVERY_ROW)
def test_a_row_is_what_its_name_says(rows, row, data):
    loss_cls, loss_bbox, balanced, atss = SETTINGS[row]
    cfg = rows.row_config(row, settings(rows, data))
    head = cfg.model.bbox_head
    assert head.loss_cls == {'use_sigmoid': True, **loss_cls}
    assert head.loss_bbox == loss_bbox
    assert head.reg_decoded_bbox == ('IoU' in loss_bbox['type'])
    assert cfg.model.train_cfg.assigner.type == ('ATSSAssigner' if atss else 'MaxIoUAssigner')
    assert head.anchor_generator.ratios == ([1.0] if atss else [0.5, 1.0, 2.0])
    hooks = cfg.default_hooks
    assert hooks.gradient_balance == {'type': 'GradientBalanceHook', 'interval': 25}
    assert hooks.self_balance == {'type': 'SelfBalanceHook', 'interval': 20}
    plain = loss_cls['type'] in ('FocalLoss', 'CrossEntropyLoss')
    assert head.type == ('RetinaHead' if plain else 'RankingRetinaHead')

    init_default_scope('mmdet')
    built = MODELS.build(cfg.model).bbox_head
    balance = getattr(built.loss_cls, 'balance', None)
    assert (balance is not None and balance.enabled) == balanced
    if balance is not None:
        assert balance.ratio == (50 if balanced else 1)
    if loss_cls['type'] == 'ALRPLoss':
        # E is (1 - IoU) / (1 - tau) and (1 - GIoU) / 2 / (1 - tau), with tau = 0.5
        expected = 0.6 if loss_bbox is IOU else 0.3
        assert built.loss_cls.loc_errors(torch.tensor(0.3)).item() == pytest.approx(expected)


@pytest.mark.parametrize('data', ['shapes', 'bccd'])
def test_rows_differ_only_in_losses_and_assigner(rows, data):
    bare = []
    for row in SETTINGS:
        cfg = rows.row_config(row, settings(rows, data))
        for key in ('type', 'loss_cls', 'loss_bbox', 'reg_decoded_bbox'):
            cfg.model.bbox_head.pop(key)
        for key in ('losses', 'rpn_losses'):
            cfg.pop(key, None)
        if SETTINGS[row][-1]:
            cfg.model.bbox_head.anchor_generator.ratios = [0.5, 1.0, 2.0]
            cfg.model.train_cfg.assigner = bare[0]['model']['train_cfg']['assigner']
        bare.append(cfg.to_dict())
    assert all(other == bare[0] for other in bare[1:])


@pytest.mark.parametrize('data', ['shapes', 'bccd'])
def test_the_schedule_has_the_length_of_the_run(rows, data):
    options = {'optim_wrapper.optimizer.lr': 0.5}
    cfg = rows.row_config('rs_giou', settings(rows, data, 2, True, **options))
    warm_up, cosine = cfg.param_scheduler
    assert (cosine.begin, cosine.end, cosine['T_max']) == (0, 2, 2)
    assert warm_up.end == 100 and not warm_up.by_epoch
    assert (cfg.train_cfg.max_epochs, cfg.train_cfg.val_interval) == (2, 2)
    assert cfg.default_hooks.checkpoint.interval == 1
    assert cfg.optim_wrapper.optimizer.lr == 0.5
    assert cfg.optim_wrapper.type in ('BFloat16OptimWrapper', 'AmpOptimWrapper')
