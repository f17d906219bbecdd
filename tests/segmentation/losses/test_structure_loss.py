"""The structure loss follows its formula, and published training code where it is asked to."""

import math

import pytest
import torch

from mmdet_alrp.segmentation.losses import StructureLoss, structure_loss
from mmdet_alrp.segmentation.losses.structure import outline_weight


def outline(mask, window, ignored=()):
    """Difference of each pixel to the mean around it, 0 outside the image, in plain Python."""
    height, width = len(mask), len(mask[0])
    half = window // 2
    result = {}
    for row in range(height):
        for column in range(width):
            values = []
            for y in range(row - half, row + half + 1):
                for x in range(column - half, column + half + 1):
                    inside = 0 <= y < height and 0 <= x < width
                    if (y, x) not in ignored:
                        values.append(mask[y][x] if inside else 0.0)
            if values:
                result[row, column] = abs(sum(values) / len(values) - mask[row][column])
    return result


def parts(logits, mask, gamma, window, ignored=()):
    """Weighted cross entropy, weighted IoU loss and all unweighted cross entropies of an image."""
    different = outline(mask, window, ignored)
    weighted = weights = intersection = union = 0.0
    entropies = []
    for row, line in enumerate(logits):
        for column, logit in enumerate(line):
            if (row, column) in ignored:
                continue
            target, prob = mask[row][column], 1 / (1 + math.exp(-logit))
            entropy = -(target * math.log(prob) + (1 - target) * math.log(1 - prob))
            weight = 1 + gamma * different[row, column]
            entropies.append(entropy)
            weighted, weights = weighted + weight * entropy, weights + weight
            intersection += weight * prob * target
            union += weight * (prob + target - prob * target)
    return weighted / weights, 1 - (intersection + 1) / (union + 1), entropies


def random_maps(seed, shape=(2, 6, 9)):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    return logits, (torch.rand(shape, generator=generator) < 0.4).double()


@pytest.mark.parametrize(('gamma', 'window'), [(5.0, 31), (5.0, 3), (0.0, 5), (2.0, 1)])
@pytest.mark.parametrize('ignored', [(), ((0, 0), (3, 4), (3, 5))])
def test_formula(gamma, window, ignored, device):
    logits, masks = random_maps(0)
    expected = 0.0
    for image, mask in zip(logits.tolist(), masks.tolist(), strict=True):
        cross_entropy, iou_loss, _ = parts(image, mask, gamma, window, ignored)
        expected += (cross_entropy + iou_loss) / 2
    labels = masks.long()
    for row, column in ignored:
        labels[:, row, column] = 255
    loss = StructureLoss(gamma, window)(logits[:, None].to(device), labels.to(device))
    assert loss.item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize('ignored', [(), ((1, 1), (2, 7))])
def test_legacy_bce_is_the_mean_over_the_batch(ignored):
    logits, masks = random_maps(1)
    entropies, iou_losses = [], []
    for image, mask in zip(logits.tolist(), masks.tolist(), strict=True):
        _, iou_loss, found = parts(image, mask, 5.0, 31, ignored)
        entropies += found
        iou_losses.append(iou_loss)
    expected = sum(entropies) / len(entropies) + sum(iou_losses) / 2
    labels = masks.long()
    for row, column in ignored:
        labels[:, row, column] = 255
    loss = StructureLoss(legacy_bce=True)(logits[:, None], labels)
    assert loss.item() == pytest.approx(expected, rel=1e-10)
    assert StructureLoss()(logits[:, None], labels).item() != pytest.approx(expected, rel=1e-3)


def test_outlines_weigh_more_than_the_inside():
    mask = torch.zeros(1, 40, 40)
    mask[:, 10:30, 10:30] = 1
    weight = outline_weight(mask, torch.ones_like(mask), 5)[0]
    assert weight[20, 20] == 0 and weight[2, 2] == 0
    assert weight[10, 20] == pytest.approx(10 / 25)
    assert weight[10, 10] == pytest.approx(16 / 25)
    assert weight[9, 20] == pytest.approx(10 / 25)


@pytest.mark.parametrize('legacy_bce', [False, True])
def test_gradcheck(legacy_bce):
    logits, masks = random_maps(2, (2, 4, 4))
    assert torch.autograd.gradcheck(
        lambda moved: structure_loss(moved, masks, window=3, legacy_bce=legacy_bce),
        logits.requires_grad_(),
    )


def test_what_ignored_pixels_hold_does_not_matter():
    logits, masks = random_maps(3)
    labels = masks.long()
    labels[:, 2:4, 3:6] = 255
    other = logits.clone()
    other[:, 2:4, 3:6] = float('nan')
    other.requires_grad_()
    loss = StructureLoss()(other[:, None], labels)
    loss.backward()
    torch.testing.assert_close(loss, StructureLoss()(logits[:, None], labels))
    assert other.grad.isfinite().all() and other.grad[:, 2:4, 3:6].count_nonzero() == 0


@pytest.mark.parametrize('legacy_bce', [False, True])
def test_an_ignored_image_changes_nothing(legacy_bce):
    logits, masks = random_maps(4, (3, 5, 5))
    labels = masks.long()
    labels[1] = 255
    rest = torch.tensor([0, 2])
    loss = StructureLoss(legacy_bce=legacy_bce)
    torch.testing.assert_close(
        loss(logits[:, None], labels), loss(logits[rest][:, None], labels[rest])
    )


def test_weights_of_pixels_count_as_copies():
    logits, masks = random_maps(5, (1, 4, 4))
    weight = torch.full_like(masks, 2.0)
    cross_entropy, _, _ = parts(logits[0].tolist(), masks[0].tolist(), 5.0, 3)
    different = outline_weight(masks, weight, 3)
    doubled = 2 * (1 + 5 * different)
    probs = logits.sigmoid()
    union = (doubled * (probs + masks - probs * masks)).sum() + 1
    expected = cross_entropy + 1 - ((doubled * probs * masks).sum() + 1) / union
    loss = StructureLoss(window=3)(logits[:, None], masks, weight)
    assert loss.item() == pytest.approx(expected.item())


def test_soft_masks():
    logits, masks = random_maps(6, (1, 5, 5))
    masks = 0.2 + 0.5 * masks
    cross_entropy, iou_loss, _ = parts(logits[0].tolist(), masks[0].tolist(), 5.0, 31)
    loss = StructureLoss()(logits[:, None], masks)
    assert loss.item() == pytest.approx(cross_entropy + iou_loss)


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        ({'gamma': -1}, 'gamma must be'),
        ({'gamma': float('nan')}, 'gamma must be'),
        ({'window': 30}, 'window must be'),
        ({'window': -3}, 'window must be'),
        ({'window': 3.5}, 'window must be'),
    ],
)
def test_wrong_options(options, said):
    with pytest.raises(ValueError, match=said):
        StructureLoss(**options)


def test_it_needs_two_dimensions_of_space():
    with pytest.raises(ValueError, match='2 dimensions of space'):
        StructureLoss()(torch.zeros(1, 1, 8), torch.zeros(1, 8, dtype=torch.long))
