"""Calls of mask heads, of nets with several outputs, of float and multi-label masks."""

import lovasz_oracle
import numpy as np
import pytest
import torch

from mmdet_alrp.segmentation.losses import (
    AutoSegLoss,
    FMeasureLoss,
    LovaszHingeLoss,
    LovaszSoftmaxLoss,
    StructureLoss,
)

LOSSES = [FMeasureLoss, StructureLoss, LovaszHingeLoss, AutoSegLoss]


def random_masks(shape=(3, 4, 6, 6), seed=0, ignored=True):
    """Logits, a mask for each channel, and one for the image."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(shape, generator=generator, dtype=torch.float64)
    masks = torch.randint(2, shape, generator=generator)
    if ignored:
        masks[0, :, :2] = 255
    return logits, masks


def sigmoid_lovasz(**options):
    return LovaszSoftmaxLoss(use_sigmoid=True, **options)


def loss_and_grad(loss, logits, *call):
    logits = logits.clone().requires_grad_()
    value = loss(logits, *call)
    value.backward()
    return value.detach(), logits.grad


@pytest.mark.parametrize('make', [*LOSSES, sigmoid_lovasz])
def test_instance_labels_pick_the_channel(make):
    logits, masks = random_masks()
    labels = torch.tensor([3, 0, 2])
    value, grad = loss_and_grad(make(), logits, masks[:, 0].double(), labels)
    images = torch.arange(3)
    picked = logits[images, labels].unsqueeze(1)
    expected, expected_grad = loss_and_grad(make(), picked, masks[:, 0])
    assert value == expected and value > 0
    assert torch.equal(grad[images, labels], expected_grad[:, 0])
    others = torch.ones_like(grad).index_put((images, labels), torch.zeros(1).double())
    assert not (grad * others).any()
    if make is not sigmoid_lovasz:  # a head without classes gives class 0 to its one channel
        assert make()(picked, masks[:, 0], torch.zeros(3).long()) == expected


@pytest.mark.parametrize('label', [-1, 4])
def test_instance_labels_that_are_no_channel_are_told(label):
    logits, masks = random_masks()
    with pytest.raises(ValueError, match=rf'FMeasureLoss: the class .* 0 \.\.\. 3 .* got {label}'):
        FMeasureLoss()(logits, masks[:, 0], torch.tensor([0, label, 1]))


@pytest.mark.parametrize('agnostic', [False, True])
@pytest.mark.parametrize(
    'name', ['FMeasureLoss', 'StructureLoss', 'LovaszHingeLoss', 'AutoSegLoss']
)
def test_a_mask_head_of_mmdetection_trains_with_it(name, agnostic):
    from mmdet.models.roi_heads.mask_heads import FCNMaskHead
    from mmdet.structures.mask import BitmapMasks
    from mmengine.config import ConfigDict
    from mmengine.structures import InstanceData

    torch.manual_seed(0)
    head = FCNMaskHead(
        num_convs=1,
        in_channels=4,
        conv_out_channels=4,
        num_classes=5,
        class_agnostic=agnostic,
        loss_mask={'type': name},
    )
    boxes = torch.tensor([[2.0, 2, 20, 20], [4, 0, 30, 16], [8, 8, 30, 30]])
    labels = torch.tensor([1, 4, 1])
    found = ConfigDict(
        pos_priors=boxes, pos_assigned_gt_inds=torch.tensor([0, 1, 1]), pos_gt_labels=labels
    )
    masks = np.zeros((2, 32, 32), np.uint8)
    masks[0, 4:16, 6:18], masks[1, 2:12, 10:28] = 1, 1
    truth = InstanceData(masks=BitmapMasks(masks, 32, 32))
    pred = head(torch.randn(3, 4, 14, 14))
    result = head.loss_and_target(pred, [found], [truth], ConfigDict(mask_size=28))
    loss, targets = result['loss_mask']['loss_mask'], result['mask_targets']
    channel = pred[range(3), [0, 0, 0] if agnostic else labels.tolist()]
    torch.testing.assert_close(loss, head.loss_mask(channel[:, None], targets.long()))
    loss.backward()
    assert all(weight.grad.isfinite().all() for weight in head.parameters())
    assert head.conv_logits.weight.grad.any()


@pytest.mark.parametrize('make', [*LOSSES, sigmoid_lovasz])
@pytest.mark.parametrize('kind', [list, tuple])
def test_the_loss_of_several_outputs_is_their_weighted_sum(make, kind):
    logits, masks = random_masks((4, 3, 1, 6, 6))
    outputs, mask = logits.requires_grad_(), masks[1, :, 0]
    singles = torch.stack([make()(output, mask) for output in outputs])
    torch.testing.assert_close(make()(kind(outputs), mask), singles.sum())
    factors = torch.tensor([0.5, 0.0, 1, 2], dtype=torch.float64)
    for given in (factors.tolist(), factors, factors.numpy()):
        loss = make(output_weight=given)(kind(outputs), mask)
        torch.testing.assert_close(loss, (factors * singles).sum())
    loss.backward()
    assert [bool(grad.any()) for grad in outputs.grad] == [True, False, True, True]


def test_a_wrong_number_of_outputs_is_told():
    logits, masks = random_masks((2, 1, 6, 6))
    with pytest.raises(ValueError, match=r'StructureLoss: .* expected 3, got 2'):
        StructureLoss(output_weight=[1, 1, 0.5])([logits, logits], masks)
    with pytest.raises(ValueError, match=r'StructureLoss: .* expected at least one, got 0'):
        StructureLoss()([], masks)
    with pytest.raises(ValueError, match='output_weight must be a list of finite numbers >= 0'):
        StructureLoss(output_weight=[1, -1])


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32, torch.float64, torch.bool])
@pytest.mark.parametrize(
    ('make', 'channels'),
    [*((make, channels) for make in LOSSES for channels in (1, 2)), (LovaszSoftmaxLoss, 2)],
)
def test_masks_may_be_floating_point(make, channels, dtype):
    logits, masks = random_masks((2, channels, 6, 6), ignored=dtype != torch.bool)
    expected = make()(logits, masks[:, 0])
    assert make()(logits, masks[:, 0].to(dtype)) == expected
    assert make()(logits, masks[:, :1].to(dtype)) == expected


def test_class_indices_may_be_floating_point():
    logits, _ = random_masks()
    labels = torch.randint(4, (3, 6, 6), generator=torch.Generator().manual_seed(1))
    labels[0, 0] = 255
    for loss in (LovaszSoftmaxLoss(), AutoSegLoss()):
        rounded = labels + 1e-5 * (labels < 255)
        assert loss(logits, rounded) == loss(logits, labels)
        with pytest.raises(
            ValueError, match=r'target holds 2\.4, but a label must be in 0 \.\.\. 3'
        ):
            loss(logits, labels.float().masked_fill(labels == 2, 2.4))
        with pytest.raises(ValueError, match='target holds nan, but a label'):
            loss(logits, labels.float().masked_fill(labels == 2, torch.nan))


@pytest.mark.parametrize(
    'loss',
    [
        FMeasureLoss(),
        FMeasureLoss(per_image=False),
        StructureLoss(),
        LovaszHingeLoss(),
        LovaszHingeLoss(per_image=True),
        AutoSegLoss({'mIoU': 1, 'BIoU': 1, 'gAcc': 0.5}),
    ],
)
@pytest.mark.parametrize('dtype', [torch.long, torch.float64, torch.uint8])
def test_multilabel_is_the_mean_over_foregrounds(loss, dtype):
    logits, masks = random_masks()
    weight = torch.rand(3, 6, 6, generator=torch.Generator().manual_seed(2)).round()
    each = [
        loss_and_grad(loss, logits[:, c : c + 1], masks[:, c], weight)
        for c in range(logits.shape[1])
    ]
    for given in (weight, weight.unsqueeze(1), weight.unsqueeze(1).expand_as(masks)):
        value, grad = loss_and_grad(loss, logits, masks.to(dtype), given)
        torch.testing.assert_close(value, torch.stack([value for value, _ in each]).mean())
        torch.testing.assert_close(grad, torch.cat([grad for _, grad in each], 1) / 4)
    single = weight.unsqueeze(1).expand_as(masks).clone()
    single[:, 2] = 0  # a channel without a pixel
    assert loss_and_grad(loss, logits, masks, single)[1][:, 2].count_nonzero() == 0


@pytest.mark.parametrize('classes', ['present', 'all', [0, 2]])
@pytest.mark.parametrize('per_image', [False, True])
def test_multilabel_lovasz_against_sets(classes, per_image):
    logits, masks = random_masks()
    masks[:, 3] = masks[:, 3].clamp(max=0)  # absent
    rows = (
        [(logits[i : i + 1], masks[i : i + 1]) for i in range(3)]
        if per_image
        else [(logits, masks)]
    )
    means = []
    for row, mask in rows:
        pairs = [
            lovasz_oracle.softmax_classes(row[:, c : c + 1].sigmoid(), mask[:, c])[0]
            for c in range(4)
        ]
        chosen = [
            loss
            for c, (present, loss) in enumerate(pairs)
            if classes == 'all' or (present if classes == 'present' else c in classes)
        ]
        means.append(sum(chosen) / len(chosen))
    loss = sigmoid_lovasz(classes=classes, per_image=per_image)
    assert loss(logits, masks).item() == pytest.approx(sum(means) / len(means), rel=1e-10)


def test_multilabel_needs_a_sigmoid_and_zeros_and_ones():
    logits, masks = random_masks()
    with pytest.raises(ValueError, match='needs use_sigmoid=True; of one class a pixel give'):
        LovaszSoftmaxLoss()(logits, masks)
    with pytest.raises(ValueError, match=r'target holds 2, but a label must be in 0 \.\.\. 1'):
        FMeasureLoss()(logits, masks.masked_fill(masks == 1, 2))
    with pytest.raises(ValueError, match=r'target must have shape \(3, 6, 6\) .* for each channel'):
        FMeasureLoss()(logits, masks[:, :3])
    value = FMeasureLoss()(logits[..., 0, 0], masks[..., 5, 5])  # tags of images
    assert value.isfinite() and value > 0
