"""Auto Seg-Loss on what is usual in VOC: ignored borders around objects, few classes a batch."""

import numpy as np
import pytest
import torch
from surrogate_oracle import bezier, score

from mmdet_alrp.segmentation.losses import AutoSegLoss
from mmdet_alrp.segmentation.losses.surrogates import SURROGATES

pytestmark = pytest.mark.filterwarnings('ignore:AutoSegLoss. .* alone ruins the regions')
OVER_ALL_CLASSES = ('mIoU', 'mAcc', 'BIoU')


def bordered_masks():
    """An object in each image, inside an ignored border of two pixels, and an ignored margin."""
    masks = torch.zeros(2, 12, 14, dtype=torch.long)
    masks[0, 1:10, 3:12], masks[0, 3:8, 5:10] = 255, 1
    masks[1, 2:9, 5:13], masks[1, 4:7, 7:11] = 255, 2
    masks[..., :2] = 255
    return masks


@pytest.mark.parametrize('metric', ['BF1', 'BIoU'])
def test_on_ignored_borders_the_loss_is_that_of_the_released_code_unless_asked(metric):
    target = bordered_masks()
    generator = torch.Generator().manual_seed(1)
    pred = 3 * torch.randn(2, 3, 12, 14, generator=generator, dtype=torch.float64)
    labels = target.where(target != 255, torch.tensor(-1)).numpy()
    found, expected = [], []
    for options in ({}, {'count_ignored_edges': True}, {'count_ignored_edges': False}):
        loss = AutoSegLoss(metric, tolerance=1, **options)
        curves = [bezier(curve.points) for curve in loss.parameters_of[metric].curves]
        counted = options.get('count_ignored_edges', True)
        probs, ones = pred.softmax(1).numpy(), np.ones(labels.shape)
        expected.append(1 - score(metric, probs, labels, ones, curves, count_ignored=counted))
        found.append(loss(pred, target).item())
    assert found == pytest.approx(expected, abs=1e-9)
    by_default, counted, left_out = found
    assert by_default == counted
    assert by_default > left_out + 0.002 if metric == 'BF1' else by_default == left_out


@pytest.mark.parametrize('theta', [None, 'diagonal'])
@pytest.mark.parametrize('metric', list(SURROGATES))
def test_a_perfect_prediction_of_two_of_21_classes_costs_905_where_absent_classes_count(
    metric, theta
):
    target = torch.zeros(1, 24, 24, dtype=torch.long)
    target[..., 12:] = 15
    pred = 1e3 * torch.nn.functional.one_hot(target, 21).movedim(-1, 1).double()
    expected = 1 - 2 / 21 if metric in OVER_ALL_CLASSES else 0
    loss = AutoSegLoss(metric, theta)
    assert loss(pred, target).item() == pytest.approx(expected, abs=1e-9)
    assert loss(pred.roll(1, dims=3), target).item() > expected + 1e-3
