import os

import pytest
import torch
from mmdet.apis import init_detector
from mmengine.runner import load_checkpoint
from published_layout import (
    faster_rcnn,
    foveabox,
    meta_weights,
    published,
    random_weights,
    retinanet,
)
from tiny_runs import REPO, load_tool

from mmdet_alrp.command_line import UsageError

tool = load_tool('convert_published')
CONFIGS = REPO / 'configs'
SHRINK = """
model = dict(
    backbone=dict(base_channels=4),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=8),
    bbox_head=dict(in_channels=8, feat_channels=8, num_classes=3),
)
"""
SHRINK_TWO_STAGE = """
model = dict(
    backbone=dict(base_channels=4),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=8),
    rpn_head=dict(in_channels=8, feat_channels=8),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=8),
        bbox_head=dict(in_channels=8, fc_out_channels=16, num_classes=3),
    ),
)
"""
CASES = {
    'retinanet': ('alrp_retinanet_r50_500', SHRINK, retinanet(6, 3, 8, width=4)),
    'retinanet-atss': ('alrp_retinanet_atss_r50_500', SHRINK, retinanet(2, 3, 8, width=4)),
    'foveabox': ('alrp_foveabox_r50_500', SHRINK, foveabox(3, 8, width=4)),
    'faster-rcnn': (
        'alrp_faster_rcnn_r50_500',
        SHRINK_TWO_STAGE,
        faster_rcnn(3, 8, 16, width=4),
    ),
    'faster-rcnn-ce': (
        'ce_l1_faster_rcnn_r50_500',
        SHRINK_TWO_STAGE,
        faster_rcnn(3, 8, 16, softmax=True, width=4),
    ),
}
# Where a weight is to be found under another name than its own
NEW_NAMES = {
    'bbox_head.fovea_cls.weight': 'bbox_head.conv_cls.weight',
    'bbox_head.fovea_cls.bias': 'bbox_head.conv_cls.bias',
    'bbox_head.fovea_reg.weight': 'bbox_head.conv_reg.weight',
    'bbox_head.fovea_reg.bias': 'bbox_head.conv_reg.bias',
}
FULL_SIZE = {
    'alrp_retinanet_r50_500': retinanet(6),
    'alrp_retinanet_r101_500': retinanet(6, depth=101),
    'alrp_retinanet_atss_r50_500': retinanet(2),
    'alrp_retinanet_atss_r101_800': retinanet(3, depth=101),
    'alrp_retinanet_atss_x101_800': retinanet(3, depth=101, groups=64, base_width=4),
    'alrp_retinanet_atss_x101_dcn_800': retinanet(
        3, depth=101, groups=64, base_width=4, deformable=(1, 2, 3)
    ),
    'ap_retinanet_r50_500': retinanet(6),
    'alrp_foveabox_r50_500': foveabox(),
    'ap_foveabox_r50_500': foveabox(),
    'focal_foveabox_r50_500': foveabox(),
    'alrp_foveabox_deform_r50_500': foveabox(deform=True),
    'alrp_faster_rcnn_r50_500': faster_rcnn(),
    'ce_l1_faster_rcnn_r50_500': faster_rcnn(softmax=True),
    'ce_giou_faster_rcnn_r50_500': faster_rcnn(softmax=True),
}


def config_file(name):
    path = CONFIGS / f'{name}.py'
    assert path.is_file()
    return path


def small_config(name, shrink, folder):
    path = folder / f'small_{name}.py'
    path.write_text(f"_base_ = ['{config_file(name)}']\n{shrink}")
    return path


def convert(folder, content, config=None):
    """Write `content`, convert it, return (exit status, what was written or None)."""
    source, target = folder / 'in.pth', folder / 'out' / 'converted.pth'
    torch.save(content, source)
    options = [] if config is None else ['--config', str(config)]
    status = tool.main([str(source), str(target), *options])
    return status, (torch.load(target, weights_only=True) if target.is_file() else None)


@pytest.mark.parametrize('case', CASES)
def test_every_published_weight_arrives_in_the_model(case, tmp_path, capsys):
    name, shrink, shapes = CASES[case]
    config = small_config(name, shrink, tmp_path)
    weights = random_weights(shapes)
    classes = ('a', 'b', 'c')
    status, converted = convert(tmp_path, published(weights, classes), config)
    assert status == 0, capsys.readouterr().err
    assert 'all fit' in capsys.readouterr().out

    model = tool.build_model(str(config))
    load_checkpoint(model, str(tmp_path / 'out' / 'converted.pth'), strict=True)
    loaded = model.state_dict()
    for key, value in weights.items():
        torch.testing.assert_close(loaded[NEW_NAMES.get(key, key)], value, rtol=0, atol=0)
    assert converted['meta']['dataset_meta'] == {'classes': classes}
    assert converted['meta']['epoch'] == 100
    assert 'optimizer' not in converted
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['converted.pth']


def test_converted_file_serves_the_inference_api(tiny_shapes, tmp_path, capsys):
    name, shrink, shapes = CASES['retinanet']
    data = f"test_dataloader = dict(dataset=dict(data_root='{tiny_shapes}/', ann_file='val.json'))"
    config = small_config(name, f'{shrink}\n{data}', tmp_path)
    status, _ = convert(tmp_path, published(random_weights(shapes), ('a', 'b', 'c')), config)
    assert status == 0, capsys.readouterr().err
    model = init_detector(str(config), str(tmp_path / 'out' / 'converted.pth'), device='cpu')
    assert model.dataset_meta['classes'] == ('a', 'b', 'c')


@pytest.mark.parametrize('name', FULL_SIZE)
def test_full_size_layout_is_that_of_the_config(name):
    path = config_file(name)
    with torch.device('meta'):
        model = tool.build_model(str(path))
    converted, _ = tool.convert(meta_weights(FULL_SIZE[name]), {'mmdet_version': '2.2.0'})
    tool.fit_to_model(converted, model, name)
    assert converted.keys() == model.state_dict().keys()


def test_balance_of_the_losses_starts_anew(tmp_path, capsys):
    name, shrink, shapes = CASES['retinanet']
    config = small_config(name, shrink, tmp_path)
    _, converted = convert(tmp_path, published(random_weights(shapes)), config)
    fresh = tool.build_model(str(config)).state_dict()
    added = converted['state_dict'].keys() - shapes.keys()
    assert any(key.endswith('.ratio') for key in added)
    assert all(key.startswith('bbox_head.loss_cls.') for key in added)
    for key in added:
        torch.testing.assert_close(converted['state_dict'][key], fresh[key])


def test_without_a_config_only_names_change(tmp_path, capsys):
    weights = random_weights(foveabox(3, 8, width=4))
    status, converted = convert(tmp_path, published(weights))
    assert status == 0
    assert 'not checked: no --config' in capsys.readouterr().out
    expected = {NEW_NAMES.get(key, key) for key in weights}
    assert converted['state_dict'].keys() == expected


def test_bare_state_dict_of_a_parallel_run(tmp_path, capsys):
    weights = random_weights(retinanet(6, 3, 8, width=4))
    status, converted = convert(tmp_path, {f'module.{key}': w for key, w in weights.items()})
    assert status == 0
    assert converted['state_dict'].keys() == weights.keys()
    assert converted['meta']['converted_from'] == 'mmdet 2, version unknown'


@pytest.mark.parametrize(('version', 'swapped'), [('2.2.0', True), ('2.5.0', False)])
def test_channels_of_a_softmax_rpn(version, swapped, tmp_path, capsys):
    shapes = faster_rcnn(3, 8, 16, softmax=True, width=4)
    shapes['rpn_head.rpn_cls.weight'] = (6, 8, 1, 1)  # 3 anchors, background and object each
    shapes['rpn_head.rpn_cls.bias'] = (6,)
    weights = random_weights(shapes)
    _, converted = convert(tmp_path, published(weights, version=version))
    for part in ('weight', 'bias'):
        before = weights[f'rpn_head.rpn_cls.{part}']
        after = converted['state_dict'][f'rpn_head.rpn_cls.{part}']
        order = [1, 0, 3, 2, 5, 4] if swapped else list(range(6))
        torch.testing.assert_close(after, before[order], rtol=0, atol=0)


def without(shapes, key):
    return {name: shape for name, shape in shapes.items() if name != key}


RETINANET = CASES['retinanet'][2]
FOREIGN = {
    'other anchors': (retinanet(9, 3, 8, width=4), 'of another shape (bbox_head.retina_cls.weight'),
    'other depth': (retinanet(6, 3, 8, width=4, depth=101), 'unexpected (backbone.layer3.6.conv1'),
    'a weight gone': (without(RETINANET, 'backbone.bn1.bias'), '1 missing (backbone.bn1.bias)'),
    'other detector': (foveabox(3, 8, width=4), 'missing (bbox_head.retina_cls'),
    'a backbone': ({'conv1.weight': (4, 3, 7, 7)}, 'none of the classifiers'),
    'first release': ({'classificationModel.conv1.weight': (8, 8, 3, 3)}, 'first release'),
    'version 1': (
        {'bbox_head.fc_cls.weight': (81, 16), 'rpn_head.rpn_cls.bias': (3,)},
        'layout of version 1',
    ),
}


@pytest.mark.parametrize('case', FOREIGN)
def test_foreign_checkpoints_are_refused_in_one_line(case, tmp_path, capsys):
    shapes, expected = FOREIGN[case]
    name, shrink, _ = CASES['retinanet']
    config = small_config(name, shrink, tmp_path)
    status, written = convert(tmp_path, published(random_weights(shapes)), config)
    captured = capsys.readouterr()
    assert (status, written) == (2, None)
    assert captured.err.count('\n') == 1
    assert captured.err.startswith('convert_published.py: error: ')
    assert expected in captured.err


class Command:
    def __reduce__(self):
        return os.system, ('true',)


@pytest.mark.parametrize(
    ('content', 'expected'),
    [
        ({'state_dict': Command()}, 'no checkpoint that can be loaded safely'),
        ({'state_dict': {}}, 'holds no state_dict of tensors'),
        ([1, 2], 'holds no state_dict of tensors'),
        (
            {'state_dict': random_weights(RETINANET), 'meta': {'mmengine_version': '0.10.7'}},
            'one of MMDetection 3 already',
        ),
    ],
)
def test_unusable_files(content, expected, tmp_path, capsys):
    assert convert(tmp_path, content) == (2, None)
    assert expected in capsys.readouterr().err


def test_missing_file_and_config(tmp_path, capsys):
    assert tool.main([str(tmp_path / 'gone.pth'), str(tmp_path / 'out.pth')]) == 2
    assert 'IN: there is no file' in capsys.readouterr().err
    content = published(random_weights(RETINANET))
    assert convert(tmp_path, content, tmp_path / 'gone.py')[0] == 2
    assert '--config: there is no file' in capsys.readouterr().err


def test_interrupted_writing_leaves_the_old_file(tmp_path, monkeypatch, capsys):
    target = tmp_path / 'out.pth'
    target.write_bytes(b'old')

    def disk_full(content, file):
        file.write(b'half')
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(torch, 'save', disk_full)
    with pytest.raises(UsageError, match='No space left on device'):
        tool.save({}, target)
    assert target.read_bytes() == b'old'
    assert [path.name for path in tmp_path.iterdir()] == ['out.pth']
