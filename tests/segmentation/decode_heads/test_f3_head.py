"""The head of F3Net computes what its paper draws, and trains with all of its outputs."""

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from torch.nn.functional import interpolate

import mmdet_alrp  # noqa: F401 - registers the head
from mmdet_alrp.segmentation.losses import FMeasureLoss, StructureLoss

FACTORS = [0.5, 0.5, 0.5, 0.25, 0.125, 0.0625]
SIDES = (16, 8, 4, 2)


def make_head(**options):
    from mmseg.registry import MODELS

    init_default_scope('mmseg')
    torch.manual_seed(0)
    settings = {
        'type': 'F3Head',
        'in_channels': [3, 4, 5, 6],
        'channels': 8,
        'num_classes': 2,
        'out_channels': 1,
        'threshold': 0.5,
        'norm_cfg': {'type': 'BN'},
        'loss_decode': {'type': 'StructureLoss', 'output_weight': FACTORS},
    }
    return MODELS.build(settings | options)


def features():
    torch.manual_seed(1)
    return [torch.randn(2, 3 + i, side, side) for i, side in enumerate(SIDES)]


def samples(side=32):
    from mmseg.structures import SegDataSample

    masks = torch.rand(2, 1, side, side, generator=torch.Generator().manual_seed(2))
    return masks, [SegDataSample(gt_sem_seg=PixelData(data=mask)) for mask in masks]


def at(image, like):
    return interpolate(image, like.shape[2:], mode='bilinear', align_corners=False)


def cross(module, low, high):
    """Eq. 1 and 2: each branch enters the product and takes the product up."""
    low, high = module.low[0](low), module.high[0](at(high, low))
    product = module.low[1](low) * module.high[1](high)
    return module.low[3](module.low[2](product) + low), module.high[3](
        module.high[2](product) + high
    )


def drawn(head, inputs):
    """Fig. 2 level by level: level 2 is the finest, 5 the coarsest."""
    f2, f3, f4, f5 = (layer(level) for layer, level in zip(head.squeezes, inputs, strict=True))
    results = []
    for decoder in (head.first, head.second):
        if results:
            f2, f3, f4, f5 = (level + at(results[0], level) for level in (f2, f3, f4, f5))
        c45, c34, c23 = decoder.crossings
        f4, down = cross(c45, f4, f5)
        f3, down = cross(c34, f3, down)
        f2, down = cross(c23, f2, down)
        results.append(down)
    convs = [head.side_convs[0], head.conv_seg, *head.side_convs[1:]]
    return [conv(x) for conv, x in zip(convs, (*results, f2, f3, f4, f5), strict=True)]


def test_outputs_are_those_of_the_drawing():
    head, inputs = make_head().eval(), features()
    outputs = head.outputs(inputs)
    assert [output.shape for output in outputs] == [(2, 1, side, side) for side in (16, 16, *SIDES)]
    for output, expected in zip(outputs, drawn(head, inputs), strict=True):
        torch.testing.assert_close(output, expected)
    assert torch.equal(head(inputs), outputs[1])
    meta = [{'img_shape': (64, 64)}] * 2
    torch.testing.assert_close(
        head.predict(inputs, meta, None), at(outputs[1], torch.empty(1, 1, 64, 64))
    )


def test_the_loss_is_the_weighted_sum_of_those_of_all_outputs():
    head, inputs = make_head().eval(), features()
    masks, batch = samples()
    (value,) = head.loss(inputs, batch, None).values()
    single = [StructureLoss()(at(output, masks), masks) for output in head.outputs(inputs)]
    expected = sum(factor * loss for factor, loss in zip(FACTORS, single, strict=True))
    torch.testing.assert_close(value, expected)


def test_several_losses_reach_every_weight():
    parts = [
        {'type': 'StructureLoss', 'output_weight': FACTORS},
        {'type': 'FMeasureLoss'},
        {'type': 'FMeasureLoss', 'loss_weight': 2.0},
    ]
    head, inputs = make_head(loss_decode=parts).train(), features()
    masks, batch = samples()
    entries = head.loss(inputs, batch, None)
    assert set(entries) == {'loss_structure', 'loss_f_measure'}
    outputs = [at(output, masks) for output in head.outputs(inputs)]
    torch.testing.assert_close(entries['loss_f_measure'], 3 * FMeasureLoss()(outputs, masks))
    sum(entries.values()).backward()
    assert all(weight.grad is not None and weight.grad.any() for weight in head.parameters())


def test_a_sampler_is_refused():
    with pytest.raises(ValueError, match='F3Head takes no sampler'):
        make_head(sampler={'type': 'OHEMPixelSampler'})
