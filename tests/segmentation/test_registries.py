"""Each loss is built by its name from every registry, and trains a decode head."""

import os
from pathlib import Path

import pytest
import torch
from fresh_python import run_python
from mmengine.registry import MODELS

from mmdet_alrp.segmentation import losses

NAMES = {
    'FMeasureLoss': losses.FMeasureLoss,
    'FLoss': losses.FMeasureLoss,
    'StructureLoss': losses.StructureLoss,
    'LovaszHingeLoss': losses.LovaszHingeLoss,
    'LovaszSoftmaxLoss': losses.LovaszSoftmaxLoss,
    'AutoSegLoss': losses.AutoSegLoss,
}
HEADS = [(name, 1) for name in NAMES if name not in ('LovaszSoftmaxLoss', 'AutoSegLoss')]
HEADS += [(name, 2) for name in NAMES] + [
    (name, 5) for name in ('LovaszSoftmaxLoss', 'AutoSegLoss')
]


@pytest.fixture
def mmseg():
    if os.environ.get('CI') == 'true':
        import mmseg

        return mmseg
    return pytest.importorskip('mmseg')


@pytest.mark.parametrize('name', NAMES)
def test_from_the_root_and_from_mmdet(name):
    mmdet_registry = pytest.importorskip('mmdet.registry')
    for registry in (MODELS, mmdet_registry.MODELS):
        assert type(registry.build({'type': name})) is NAMES[name]


@pytest.mark.parametrize('name', NAMES)
def test_from_mmseg(name, mmseg):
    from mmseg.models.builder import build_loss
    from mmseg.registry import MODELS as MMSEG_MODELS

    loss = build_loss({'type': name, 'loss_weight': 2.0})
    assert type(loss) is type(MMSEG_MODELS.build({'type': name})) is NAMES[name]
    assert loss.loss_weight == 2


def test_no_name_is_taken_by_either_tool_box(mmseg):
    from mmdet.registry import MODELS as MMDET_MODELS
    from mmseg.registry import MODELS as MMSEG_MODELS

    for registry in (MMDET_MODELS, MMSEG_MODELS):
        assert not set(NAMES) & set(registry.module_dict)


def make_head(name, channels, **options):
    from mmseg.models.decode_heads import FCNHead

    head = {'in_channels': 6, 'channels': 4, 'num_convs': 1, 'norm_cfg': None}
    head |= {'num_classes': max(channels, 2), 'out_channels': channels}
    head |= {'threshold': 0.5} if channels == 1 else {}
    torch.manual_seed(0)
    return FCNHead(**head, loss_decode={'type': name}, **options)


def train_step(head, labels):
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    samples = [SegDataSample(gt_sem_seg=PixelData(data=image[None])) for image in labels]
    torch.manual_seed(1)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1)
    entries = head.loss([torch.randn(2, 6, 8, 8)], samples, None)
    before = [parameter.detach().clone() for parameter in head.parameters()]
    sum(value for key, value in entries.items() if 'loss' in key).backward()
    optimizer.step()
    moved = [not torch.equal(old, new) for old, new in zip(before, head.parameters(), strict=True)]
    return entries, moved


@pytest.mark.parametrize(('name', 'channels'), HEADS)
def test_a_decode_head_trains_a_step(name, channels, mmseg):
    labels = torch.randint(max(channels, 2), (2, 16, 16))
    labels[0, :4] = 255
    head = make_head(name, channels)
    entries, moved = train_step(head, labels)
    (key,) = [key for key in entries if key.startswith('loss_')]
    assert key == head.loss_decode.loss_name
    assert entries[key].shape == () and entries[key] > 0
    assert all(moved)
    assert all(parameter.isfinite().all() for parameter in head.parameters())


@pytest.mark.parametrize('name', ['LovaszSoftmaxLoss', 'AutoSegLoss'])
def test_with_the_sampler_of_hard_pixels(name, mmseg):
    sampler = {'type': 'OHEMPixelSampler', 'thresh': 0.7, 'min_kept': 10}
    entries, moved = train_step(make_head(name, 5, sampler=sampler), torch.randint(5, (2, 16, 16)))
    assert entries[make_head(name, 5).loss_decode.loss_name] > 0 and all(moved)


def test_the_package_imports_neither_tool_boxes_nor_measuring_libraries():
    code = (
        'import sys; sys.modules.update(mmdet=None, mmseg=None)\n'
        'from mmengine.registry import MODELS\n'
        'import mmdet_alrp.segmentation\n'
        "print({'py_sod_metrics', 'skimage', 'matplotlib'} & set(sys.modules), end=' ')\n"
        f'print(sorted(set({sorted(NAMES)}) - set(MODELS.module_dict)))'
    )
    done = run_python('-c', code, folder=Path.cwd())
    assert done.stdout.strip().endswith('set() []'), done.stdout + done.stderr
