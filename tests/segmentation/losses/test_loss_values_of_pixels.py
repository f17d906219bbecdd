"""What pixels that take no part hold has no influence, and wrong weights and masks are told."""

import warnings
from contextlib import nullcontext

import pytest
import torch

from mmdet_alrp.segmentation.losses import (
    AutoSegLoss,
    FMeasureLoss,
    LovaszHingeLoss,
    LovaszSoftmaxLoss,
    StructureLoss,
)

BINARY = [FMeasureLoss, StructureLoss, LovaszHingeLoss]
LOSSES = [(make, channels) for make in BINARY for channels in (1, 2)]
LOSSES += [(LovaszSoftmaxLoss, 4), (AutoSegLoss, 4), (AutoSegLoss, 1)]


def random_batch(channels, seed=0):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.randint(max(channels, 2), (2, 6, 6), generator=generator)
    targets[0, :2] = 255
    return torch.randn(2, channels, 6, 6, generator=generator), targets


def loss_and_grad(loss, logits, *call, **options):
    logits = logits.clone().requires_grad_()
    value = loss(logits, *call, **options)
    value.backward()
    return value.detach(), logits.grad


@pytest.mark.parametrize('held', [float('nan'), float('inf'), -1e30])
@pytest.mark.parametrize(('make', 'channels'), LOSSES)
@pytest.mark.parametrize('by_weight', [False, True])
def test_what_an_ignored_pixel_holds_changes_nothing(make, channels, held, by_weight, device):
    logits, targets = (part.to(device) for part in random_batch(channels))
    call = [targets]
    if by_weight:
        call = [targets.masked_fill(targets == 255, 1), (targets != 255).float()]
    expected, expected_grad = loss_and_grad(make(), logits, *call)
    ignored = (targets == 255).unsqueeze(1).expand_as(logits)
    value, grad = loss_and_grad(make(), logits.masked_fill(ignored, held), *call)
    assert value == expected and torch.equal(grad, expected_grad)
    assert grad[ignored].count_nonzero() == 0 and grad.count_nonzero() > 0


@pytest.mark.parametrize(('make', 'channels'), LOSSES)
def test_the_loss_is_the_same_without_gradients_and_leaves_the_logits_alone(make, channels):
    logits, targets = random_batch(channels)
    logits.requires_grad_()
    expected = make()(logits, targets)
    with torch.no_grad():
        assert make()(logits, targets) == expected
    with torch.inference_mode():
        assert make()(logits, targets) == expected
    logits.sum().backward()  # no part of the loss hangs on the tensor itself
    assert torch.equal(logits.grad, torch.ones_like(logits))


@pytest.mark.parametrize(('make', 'channels'), LOSSES)
def test_no_number_at_a_pixel_that_counts_shows_in_the_loss(make, channels):
    logits, targets = random_batch(channels)
    logits[1, :, 3, 3] = float('nan')
    assert make()(logits, targets).isnan()


@pytest.mark.parametrize('wrong', [float('nan'), float('inf'), -1.0])
@pytest.mark.parametrize(('make', 'channels'), LOSSES)
def test_wrong_weights_are_not_hidden(make, channels, wrong, device):
    logits, targets = (part.to(device) for part in random_batch(channels))
    weight = torch.ones_like(targets, dtype=torch.float32)
    expected = make()(logits, targets)
    weight[0, 0, 0] = wrong  # ignored by its label, so that its weight is not looked at
    assert make()(logits, targets, weight) == expected
    weight[1, 2, 3] = wrong
    if device.type == 'cpu':
        with pytest.raises(
            ValueError, match=rf'weight holds {wrong:g}, .* finite number >= 0'
        ) as caught:
            make()(logits, targets, weight)
        assert '\n' not in str(caught.value)
    else:  # reading the weight would wait for the device
        value, grad = loss_and_grad(make(), logits, targets, weight)
        assert value.isnan() and grad.count_nonzero() == 0


@pytest.mark.parametrize('dtype', [torch.long, torch.uint8, torch.float32])
@pytest.mark.parametrize(('make', 'channels'), [*LOSSES[:6], (AutoSegLoss, 1)])
def test_masks_of_0_and_255_are_told_once(make, channels, dtype, device):
    logits, targets = random_batch(channels)
    grey = ((targets == 1) * 255).to(device, dtype)
    loss = make()
    with pytest.warns(UserWarning, match=f'{make.__name__}.* 0 and 255, .* divide them') as caught:
        loss(logits.to(device), torch.zeros_like(grey))  # no object: nothing to tell
        loss(logits.to(device), grey)
        loss(logits.to(device), grey)
    told = [item for item in caught if 'divide them' in str(item.message)]
    assert len(told) == 1 and '\n' not in str(told[0].message)


@pytest.mark.parametrize(
    ('make', 'channels', 'masks', 'ignored'),
    [
        (FMeasureLoss, 1, [0, 1, 255], 255),
        (FMeasureLoss, 1, [0, 0.5, 1], 255),
        (FMeasureLoss, 1, [0, 0, 0], 255),
        (FMeasureLoss, 1, [255, 255, 255], 255),
        (FMeasureLoss, 2, [0, 1, 254], 254),
        (LovaszSoftmaxLoss, 4, [0, 0, 255], 255),  # of many classes a batch may hold one
    ],
)
def test_other_masks_are_not_warned_of(make, channels, masks, ignored):
    logits = torch.randn(1, channels, 1, 3)
    target = torch.tensor([[masks]])
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert make()(logits, target, ignore_index=ignored).isfinite()


def test_the_masks_of_a_training_are_not_looked_at_for_ever(monkeypatch):
    from mmdet_alrp.segmentation.losses import base

    looks = []
    look = base.looks_like_grey_mask
    monkeypatch.setattr(base, 'looks_like_grey_mask', lambda masks: looks.append(0) or look(masks))
    logits, background = torch.randn(1, 1, 2, 2), torch.zeros(1, 2, 2).long()
    loss = FMeasureLoss()
    for _ in range(30):
        loss(logits, background)
    assert len(looks) == base.LOOKS
    loss = FMeasureLoss()
    for _ in range(3):
        loss(logits, torch.ones_like(background))
    assert len(looks) == base.LOOKS + 1


@pytest.mark.parametrize(('make', 'channels'), LOSSES)
def test_no_step_waits_for_the_device(make, channels, monkeypatch):
    """A tensor without values stops at whatever would read one, as a device would have to."""
    monkeypatch.setattr(torch, 'autocast', lambda *args, **options: nullcontext())  # has none here
    logits, targets = random_batch(channels)
    options = {}
    if make is not LovaszHingeLoss:
        options['class_weight'] = [1.0] * max(channels, 2)
    loss = make(**options)
    loss(logits, targets)  # a batch with foreground ends the looks at the masks
    loss.to('meta')
    logits, targets = logits.to('meta'), targets.to('meta')
    weight = torch.ones_like(targets, dtype=torch.float32)
    moving = logits.requires_grad_()
    loss(moving, targets, weight).backward()
    loss([logits, logits], targets).backward()
    assert moving.grad.shape == logits.shape
