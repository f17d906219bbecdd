"""Weights of classes, given as lists, arrays and tensors, in every loss that has them."""

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
from mmdet_alrp.segmentation.losses.surrogates import SURROGATES

METRICS = list(SURROGATES)
BOUNDARY_ALONE = 'ignore:AutoSegLoss. .* alone ruins the regions'
WEIGHTS = (0.5, 2.0, 0.0, 1.0)


def random_batch(channels=4, dtype=torch.float64):
    """Logits and labels in which every class has pixels and edges."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.randint(max(channels, 2), (2, 4, 5), generator=generator)
    labels = labels.repeat_interleave(2, 1).repeat_interleave(2, 2)
    assert len(labels.unique()) == max(channels, 2)
    labels[0, :1, :3] = 255
    return torch.randn(2, channels, 8, 10, generator=generator, dtype=dtype), labels


@pytest.mark.parametrize('make', [LovaszSoftmaxLoss, AutoSegLoss])
@pytest.mark.parametrize(
    'form', [list, torch.tensor, np.array, lambda values: np.array(values, np.float32)]
)
def test_lists_arrays_and_tensors_mean_the_same(make, form):
    logits, labels = random_batch()
    expected = make(class_weight=WEIGHTS)(logits, labels)
    assert make(class_weight=form(WEIGHTS))(logits, labels) == expected
    assert abs(expected - make()(logits, labels)) > 1e-3


@pytest.mark.parametrize('make', [FMeasureLoss, StructureLoss])
@pytest.mark.parametrize('channels', [1, 2])
@pytest.mark.parametrize('soft', [False, True])
def test_of_a_foreground_they_are_weights_of_its_pixels(make, channels, soft):
    logits, masks = random_batch(channels)
    own = torch.rand(2, 8, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    if soft:
        masks = torch.where(masks < 2, 0.1 + 0.7 * masks, masks)
    share = masks.masked_fill(masks == 255, 0).double()
    by_hand = own * (0.25 * (1 - share) + 3 * share)
    value = make(class_weight=[0.25, 3])(logits, masks, own)
    torch.testing.assert_close(value, make()(logits, masks, by_hand))
    assert abs(value - make()(logits, masks, own)) > 1e-3


def score_of(metric, weights=None):
    logits, labels = random_batch()
    loss = AutoSegLoss(metric, 'diagonal', tolerance=1, class_weight=weights)
    return 1 - loss(logits, labels)


@pytest.mark.filterwarnings(BOUNDARY_ALONE)
@pytest.mark.parametrize('metric', METRICS)
def test_of_auto_seg_loss_they_weigh_the_mean_over_classes(metric):
    each = [score_of(metric, [float(c == label) for c in range(4)]) for label in range(4)]
    _, labels = random_batch()
    counts = [1.0] * 4
    if metric in ('gAcc', 'FWIoU'):  # in whose mean a class has as many parts as pixels
        counts = [int((labels == label).sum()) for label in range(4)]
    parts = [weight * count for weight, count in zip(WEIGHTS, counts, strict=True)]
    expected = sum(p * score for p, score in zip(parts, each, strict=True)) / sum(parts)
    torch.testing.assert_close(score_of(metric, WEIGHTS), expected)
    torch.testing.assert_close(score_of(metric, [7.0] * 4), score_of(metric))
    assert score_of(metric) != expected


@pytest.mark.parametrize('metric', ['mIoU', 'mAcc', 'gAcc'])
def test_of_auto_seg_loss_against_sums_over_pixels(metric):
    logits, labels = random_batch()
    probs = logits.softmax(1).numpy()
    sums = []
    for label in range(4):
        valid = (labels != 255).numpy()
        truth, prob = (labels == label).numpy()[valid], probs[:, label][valid]
        sums.append(((prob * truth).sum(), (prob + truth - prob * truth).sum(), truth.sum()))
    both, either, count = np.array(sums).T
    weights = np.array(WEIGHTS)
    expected = {
        'mIoU': (weights * both / either).sum() / weights.sum(),
        'mAcc': (weights * both / count).sum() / weights.sum(),
        'gAcc': (weights * both).sum() / (weights * count).sum(),
    }[metric]
    assert score_of(metric, WEIGHTS).item() == pytest.approx(expected, rel=1e-9)


def test_of_one_channel_they_are_those_of_background_and_foreground():
    logits, masks = random_batch(1)
    both = torch.cat([torch.zeros_like(logits), logits], 1)
    loss = AutoSegLoss(class_weight=[1, 3])
    torch.testing.assert_close(loss(logits, masks), loss(both, masks))


@pytest.mark.parametrize('make', [FMeasureLoss, StructureLoss, AutoSegLoss])
def test_of_multilabel_targets_they_weigh_the_channels(make):
    logits, _ = random_batch()
    masks = torch.randint(2, logits.shape, generator=torch.Generator().manual_seed(1))
    each = torch.stack([make()(logits[:, c : c + 1], masks[:, c]) for c in range(4)])
    expected = (each * torch.tensor(WEIGHTS)).sum() / sum(WEIGHTS)
    torch.testing.assert_close(make(class_weight=WEIGHTS)(logits, masks), expected)


def test_of_lovasz_softmax_they_are_factors_of_channels():
    logits, _ = random_batch()
    masks = torch.randint(2, logits.shape, generator=torch.Generator().manual_seed(1))
    loss = LovaszSoftmaxLoss('all', use_sigmoid=True)
    each = torch.stack([loss(logits[:, c : c + 1], masks[:, c]) for c in range(4)])
    weighted = LovaszSoftmaxLoss('all', use_sigmoid=True, class_weight=WEIGHTS)(logits, masks)
    torch.testing.assert_close(weighted, (each * torch.tensor(WEIGHTS)).mean())


@pytest.mark.parametrize(
    ('make', 'weights', 'said'),
    [
        (StructureLoss, [1, -1], 'class_weight must be a list of finite numbers >= 0'),
        (StructureLoss, torch.tensor([[1.0, 2], [3, 4]]), 'class_weight must be a list of finite'),
        (AutoSegLoss, np.array([1, np.nan]), 'class_weight must be a list of finite numbers'),
        (AutoSegLoss, 'ab', 'class_weight must be a list of finite numbers'),
        (AutoSegLoss, 2.0, 'class_weight must be a list of finite numbers'),
        (LovaszSoftmaxLoss, [0, 0, 0], 'class_weight must hold a number above 0'),
    ],
)
def test_what_are_no_weights_is_told_in_one_line(make, weights, said):
    with pytest.raises(ValueError, match=said) as caught:
        make(class_weight=weights)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(('make', 'channels'), [(StructureLoss, 1), (AutoSegLoss, 4)])
def test_a_wrong_number_of_weights_is_told(make, channels):
    logits, labels = random_batch(channels)
    expected = f'{make.__name__}: class_weight must have .* expected {max(channels, 2)}, got 3'
    with pytest.raises(ValueError, match=expected):
        make(class_weight=[1, 2, 3])(logits, labels)


def test_the_hinge_which_has_no_weights_refuses_them():
    with pytest.raises(TypeError, match='class_weight'):
        LovaszHingeLoss(class_weight=[1, 2])
