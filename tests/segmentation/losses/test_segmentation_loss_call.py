"""All losses take MMSegmentation's call, any dtype and any batch."""

import pytest
import torch

from mmdet_alrp.segmentation.losses import (
    AutoSegLoss,
    FMeasureLoss,
    LovaszHingeLoss,
    LovaszSoftmaxLoss,
    SegmentationLoss,
    StructureLoss,
)

BINARY = [FMeasureLoss, StructureLoss, LovaszHingeLoss]
LOSSES = [(make, channels) for make in BINARY for channels in (1, 2)]
LOSSES += [(LovaszSoftmaxLoss, 4)]


def random_batch(channels, seed=0):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(max(channels, 2), (2, 6, 6), generator=generator)
    targets[0, :2] = 255
    return torch.randn(2, channels, 6, 6, generator=generator), targets


@pytest.mark.parametrize(('make', 'channels'), LOSSES)
def test_forms_of_the_target(make, channels):
    logits, targets = random_batch(channels)
    loss = make()
    expected = loss(logits, targets)
    assert expected.shape == () and expected.dtype == torch.float32 and expected > 0.1
    for other in (targets[:, None], targets.to(torch.uint8), targets.int()):
        assert loss(logits, other) == expected


@pytest.mark.parametrize(('make', 'channels'), LOSSES)
def test_ignored_pixels_have_no_part(make, channels):
    logits, targets = random_batch(channels)
    loss = make()
    moving = logits.clone().requires_grad_()
    expected = loss(moving, targets)
    expected.backward()
    assert moving.grad[0, :, :2].count_nonzero() == 0 and moving.grad.count_nonzero() > 0
    other = logits.clone()
    other[0, :, :2] += 3
    assert loss(other, targets) == expected
    # The call's label wins over that of the constructor, and weight 0 ignores as well.
    hidden = targets.masked_fill(targets == 255, -7)
    assert loss(logits, hidden, ignore_index=-7) == expected
    assert make(ignore_index=-7)(logits, hidden) == expected
    weight = (targets != 255).float()
    assert loss(logits, targets.masked_fill(targets == 255, 1), weight=weight) == expected


@pytest.mark.parametrize(('make', 'channels'), LOSSES)
def test_all_ignored(make, channels, device):
    logits = random_batch(channels)[0].to(device).requires_grad_()
    loss = make()(logits, torch.full((2, 6, 6), 255, device=device))
    loss.backward()
    assert loss == 0
    assert logits.grad.count_nonzero() == 0 and logits.grad.isfinite().all()


@pytest.mark.parametrize(('make', 'channels'), LOSSES)
@pytest.mark.parametrize('shape', [(0, 6, 6), (2, 0, 6)])
def test_no_pixel_at_all(make, channels, shape):
    logits = torch.zeros(shape[0], channels, *shape[1:], requires_grad=True)
    loss = make()(logits, torch.zeros(shape, dtype=torch.long))
    loss.backward()
    assert loss == 0 and logits.grad.shape == logits.shape


@pytest.mark.parametrize(('make', 'channels'), LOSSES)
def test_only_background(make, channels, device):
    logits = random_batch(channels)[0].to(device).requires_grad_()
    loss = make()(logits, torch.zeros(2, 6, 6, dtype=torch.long, device=device))
    loss.backward()
    assert loss.isfinite() and logits.grad.isfinite().all()


@pytest.mark.parametrize(('make', 'channels'), LOSSES)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(make, channels, dtype):
    logits, targets = random_batch(channels)
    logits = logits.to(dtype)
    expected = make()(logits.float(), targets)
    moving = logits.clone().requires_grad_()
    loss = make()(moving, targets)
    loss.backward()
    assert loss.dtype == torch.float32 and loss == expected
    assert moving.grad.dtype == dtype and moving.grad.isfinite().all()


@pytest.mark.parametrize(('make', 'channels'), LOSSES)
def test_under_autocast(make, channels, device):
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2, 3, 6, 6, generator=generator).to(device)
    torch.manual_seed(0)
    head = torch.nn.Conv2d(3, channels, 1).to(device)
    targets = random_batch(channels)[1].to(device)
    with torch.autocast(device.type, torch.bfloat16):
        logits = head(features)
        loss = make()(logits, targets)
    assert logits.dtype == torch.bfloat16 and loss.dtype == torch.float32
    assert loss == make()(logits.float(), targets)
    loss.backward()
    assert head.weight.grad.isfinite().all() and head.weight.grad.count_nonzero() > 0


@pytest.mark.parametrize(('make', 'channels'), LOSSES)
def test_weight_and_name(make, channels):
    logits, targets = random_batch(channels)
    loss = make(loss_weight=2.5, loss_name='loss_other')
    torch.testing.assert_close(loss(logits, targets), 2.5 * make()(logits, targets))
    assert loss.loss_name == 'loss_other'
    assert make().loss_name.startswith('loss_')


@pytest.mark.parametrize(('make', 'channels'), [*LOSSES, (AutoSegLoss, 4), (AutoSegLoss, 1)])
@pytest.mark.parametrize('label', [-1, 4])
def test_labels_that_are_no_class_are_not_hidden(make, channels, label, device):
    logits, targets = random_batch(channels)
    logits, targets = logits.to(device).requires_grad_(), targets.to(device)
    expected = make()(logits, targets).detach()
    targets[1, 2, 3] = label
    if device.type == 'cpu':
        last = max(channels, 2) - 1
        with pytest.raises(ValueError, match=rf'holds {label}, .* 0 \.\.\. {last} with') as caught:
            make()(logits, targets)
        assert '\n' not in str(caught.value)
    else:  # reading the label would wait for the device
        loss = make()(logits, targets)
        loss.backward()
        assert loss.isnan() and logits.grad.count_nonzero() == 0
    weight = (targets != label).float()
    assert make()(logits, targets, weight=weight) <= 2 * expected
    assert make(ignore_index=label)(logits, targets.masked_fill(targets == 255, label)).isfinite()


@pytest.mark.parametrize('make', [FMeasureLoss, StructureLoss])
def test_soft_masks_may_be_rounded_beyond_their_ends(make):
    logits = torch.randn(2, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    masks = torch.zeros(2, 6, 6)
    masks[:, 2:] = 1
    loss = make()
    assert loss(logits, masks * (1 + 1e-6) - 1e-7) == loss(logits, masks)
    for wrong in (255 * masks, masks - 0.5, masks * torch.nan):
        with pytest.raises(ValueError, match=r'a soft mask must be in \[0, 1\], or 254'):
            loss(logits, wrong, ignore_index=254)


@pytest.mark.parametrize('make', [FMeasureLoss, LovaszHingeLoss, LovaszSoftmaxLoss])
@pytest.mark.parametrize('shape', [(7,), (7, 5), (7, 2, 3, 2)])
def test_any_dimensions_of_space(make, shape):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(shape[0], 2, *shape[1:], generator=generator)
    targets = torch.randint(2, shape, generator=generator)
    pixels = logits.reshape(7, 2, -1, 1), targets.reshape(7, -1, 1)
    assert make()(logits, targets) == make()(*pixels)


@pytest.mark.parametrize(
    ('change', 'error', 'said'),
    [
        ({'pred': torch.zeros(2, 1, 4, 4, dtype=torch.long)}, TypeError, 'floating point'),
        ({'pred': torch.zeros(4)}, ValueError, r'pred must have shape \(N, C, \.\.\.\)'),
        (
            {'target': torch.zeros(2, 4, 5).long()},
            ValueError,
            r'target must have shape \(2, 4, 4\)',
        ),
        ({'target': torch.zeros(2, 4, 4) * 1j}, TypeError, 'class indices or masks'),
        ({'weight': torch.zeros(2)}, ValueError, 'weight must have shape'),
        ({'avg_factor': 3.0}, ValueError, 'avg_factor must be None'),
        ({'reduction_override': 'none'}, ValueError, "None or 'mean'"),
    ],
)
def test_wrong_calls(change, error, said):
    call = {'pred': torch.zeros(2, 1, 4, 4), 'target': torch.zeros(2, 4, 4, dtype=torch.long)}
    with pytest.raises(error, match=said) as caught:
        LovaszHingeLoss()(**(call | change))
    assert '\n' not in str(caught.value) and 'LovaszHingeLoss' in str(caught.value)


def test_masks_may_be_soft_only_where_that_has_a_meaning():
    logits, masks = torch.zeros(1, 1, 4, 4), torch.full((1, 4, 4), 0.5)
    for make in (FMeasureLoss, StructureLoss):
        assert make()(logits, masks) > 0
    for make in (LovaszHingeLoss, AutoSegLoss):
        with pytest.raises(
            ValueError, match=r'target holds 0\.5, but a label must be in 0 \.\.\. 1'
        ):
            make()(logits, masks)


def test_a_loss_without_a_formula_says_so():
    with pytest.raises(TypeError, match='must define compute'):
        SegmentationLoss()(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long))
