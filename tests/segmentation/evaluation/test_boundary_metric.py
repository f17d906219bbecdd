import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from label_maps import bordered_maps, camvid_maps, random_maps, samples_of
from scipy import ndimage

from mmdet_alrp.segmentation.evaluation import BoundaryMetric, boundary_counts, boundary_metrics

SQUARE = np.ones((3, 3), dtype=bool)


def edge(mask):
    return mask & ~ndimage.binary_erosion(mask, SQUARE, border_value=1)


def grown(mask, tolerance):
    size = 2 * tolerance + 1
    return ndimage.binary_dilation(mask, np.ones((size, size), dtype=bool))


def oracle(pred, target, num_classes, tolerance=5, drop=False, count=True):
    """BIoU and BF1 straight from the definitions, class by class, by SciPy's morphology."""
    hits, unions = np.zeros(num_classes), np.zeros(num_classes)
    table = np.zeros((4, num_classes))
    for p, t in zip(np.asarray(pred), np.asarray(target), strict=True):
        valid = t != 255
        edges = [edge((t == c) & valid) & (c >= drop) for c in range(num_classes)]
        region = grown(np.any(edges, axis=0), tolerance) & valid
        for c, true_edge in enumerate(edges):
            hits[c] += np.sum(region & (p == c) & (t == c))
            unions[c] += np.sum(region & ((p == c) | (t == c)))
            found_edge = edge(p == c)
            near = grown(true_edge, tolerance)
            table[0, c] += np.sum(found_edge & near)
            table[1, c] += np.sum(found_edge & (near | valid | count))
            table[2, c] += np.sum(true_edge & grown(found_edge, tolerance))
            table[3, c] += np.sum(true_edge)
    f1 = []
    for right, predicted, found, true in table.T:
        if true:
            precision, recall = right / max(predicted, 1), found / true
            f1.append(2 * precision * recall / (precision + recall) if right and found else 0.0)
    return {'BIoU': np.mean((hits / unions)[unions > 0]), 'BF1': np.mean(f1)}


def measure(pred, target, num_classes, **options):
    return boundary_metrics(boundary_counts(pred, target, num_classes, **options))


@pytest.mark.parametrize('tolerance', [0, 1, 5])
@pytest.mark.parametrize('num_classes', [2, 5, 70])
@pytest.mark.parametrize('drop', [False, True])
@pytest.mark.filterwarnings('ignore:invalid value encountered')
def test_figures_are_those_of_the_definitions(num_classes, tolerance, drop, device):
    pred, target = random_maps(num_classes)
    figures = measure(
        pred.to(device), target.to(device), num_classes, tolerance=tolerance, drop_background=drop
    )
    expected = oracle(pred, target, num_classes, tolerance, drop=drop)
    assert figures == pytest.approx(expected, rel=1e-12)
    assert 0.05 < expected['BIoU'] < 0.95 and 0.1 < expected['BF1'] <= 1


@pytest.mark.parametrize('count', [False, True])
@pytest.mark.parametrize('drop', [False, True])
@pytest.mark.parametrize('num_classes', [3, 70])
@pytest.mark.filterwarnings('ignore:invalid value encountered')
def test_figures_of_masks_with_ignored_borders(num_classes, drop, count):
    pred, target = bordered_maps(num_classes)
    options = {'tolerance': 2, 'drop_background': drop}
    figures = measure(pred, target, num_classes, **options, count_ignored_edges=count)
    expected = oracle(pred, target, num_classes, 2, drop, count)
    assert figures == pytest.approx(expected, rel=1e-12)
    other = oracle(pred, target, num_classes, 2, drop, not count)
    assert other['BIoU'] == expected['BIoU']
    # Edges that count as wrong can only cost.
    assert (other['BF1'] - expected['BF1']) * (1 if count else -1) > 0.01


def test_figures_of_real_masks(shared_data):
    pred, target = camvid_maps(shared_data, count=2)
    figures = measure(pred, target, 11, tolerance=2)
    assert figures == pytest.approx(oracle(pred, target, 11, 2), rel=1e-12)
    assert 0.2 < figures['BIoU'] < 0.9 and 0.2 < figures['BF1'] < 0.95


def test_by_hand():
    # A bar of class 1 in columns 4-5 of 12, predicted one column further right.
    target = torch.zeros(1, 6, 12, dtype=torch.long)
    pred = target.clone()
    target[..., 4:6] = 1
    pred[..., 5:7] = 1
    # Target edges are columns 3 to 6, of which 0 has 3 and 6; predicted are 4 and 7 of 0, 5 and 6
    # of 1. Without tolerance BIoU is over columns 3-6: 0 hits column 3 of 3, 4, 6; 1 hits 5 of 4-6.
    figures = measure(pred, target, 2, tolerance=0)
    assert figures['BIoU'] == pytest.approx((1 / 3 + 1 / 3) / 2)
    assert figures['BF1'] == pytest.approx((0 + 1 / 2) / 2)
    assert measure(pred, target, 2, tolerance=1)['BF1'] == 1
    # With tolerance 1 over columns 2-7: 0 hits 2, 3, 7 of all but column 5; 1 as before.
    assert measure(pred, target, 2, tolerance=1)['BIoU'] == pytest.approx((3 / 5 + 1 / 3) / 2)


def test_perfect_is_one_and_inverted_is_zero():
    _, target = random_maps(2, ignored=0)
    assert measure(target, target, 2) == {'BIoU': 1, 'BF1': 1}
    assert measure(1 - target, target, 2)['BIoU'] == 0
    assert measure(1 - target, target, 2, tolerance=0)['BF1'] == 0


def test_the_border_of_the_image_is_no_edge():
    target = torch.ones(1, 8, 8, dtype=torch.long)
    counts = boundary_counts(target, target, 2)
    assert not counts.any()
    assert all(map(math.isnan, boundary_metrics(counts).values()))


def test_a_class_without_target_edges_takes_no_part_in_bf1():
    target = torch.zeros(1, 20, 20, dtype=torch.long)
    target[..., :8] = 1
    pred = target.clone()
    pred[:, 8:12, 14:18] = 2
    figures = measure(pred, target, 4, tolerance=1)
    assert figures['BIoU'] == 1  # class 2 is predicted far from target edges
    # Class 0 has 20 edge pixels to find; it predicts those and the 20 around the 4 x 4 blot
    assert figures['BF1'] == pytest.approx((1 + 2 / (1 + 40 / 20)) / 2)


def test_a_class_that_is_not_predicted_has_f1_zero():
    _, target = random_maps(2, ignored=0)
    pred = torch.zeros_like(target)
    figures = measure(pred, target, 2)
    assert figures['BF1'] == 0 and 0 < figures['BIoU'] < 0.6


def test_outlines_inside_ignored_strips_count_as_in_voc():
    # An object whose whole outline is an ignored strip, as in the masks of VOC
    target = torch.zeros(1, 40, 40, dtype=torch.long)
    target[:, 8:32, 8:32] = 255
    target[:, 12:28, 12:28] = 1
    good, bad = torch.zeros(2, 1, 40, 40, dtype=torch.long)
    good[:, 10:30, 10:30] = 1
    bad[:, 18:22, 18:22] = 1
    assert measure(good, target, 2) == {'BIoU': 1, 'BF1': 1}
    assert measure(bad, target, 2, tolerance=2)['BF1'] == 0


def test_edges_predicted_far_inside_ignored_regions_are_wrong_unless_left_out():
    target = torch.zeros(1, 30, 60, dtype=torch.long)
    target[..., 15:] = 1
    target[..., 25:] = 255
    pred = torch.ones_like(target)
    pred[..., :15] = 0
    blot = pred.clone()
    blot[:, 10:20, 45:50] = 0
    blot[:, 10:20, 50:55] = 255  # what is no class at all can stand there too
    counts = boundary_counts(pred, target, 2, 3)
    left_out = {'tolerance': 3, 'count_ignored_edges': False}
    assert torch.equal(boundary_counts(blot, target, 2, **left_out), counts)
    # Class 0 has the rim of its 10 x 5 pixels; class 1 the pixels around the 10 x 10 that it lacks.
    more = torch.zeros_like(counts)
    more[4] = torch.tensor([2 * 10 + 2 * 3, 4 * 10 + 4])
    assert torch.equal(boundary_counts(blot, target, 2, 3), counts + more)
    blot[:, 10:20, 16:20] = 0
    assert not torch.equal(boundary_counts(blot, target, 2, **left_out), counts)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 5), st.integers(0, 10**6), st.integers(0, 6), st.integers(0, 3))
def test_permuted_classes_and_split_images_change_nothing(num_classes, seed, cut, tolerance):
    generator = torch.Generator().manual_seed(seed)
    pred, target = torch.randint(num_classes, (2, 6, 7, 9), generator=generator)
    target[torch.rand(target.shape, generator=generator) < 0.2] = 255
    whole = boundary_counts(pred, target, num_classes, tolerance)
    first = boundary_counts(pred[:cut], target[:cut], num_classes, tolerance)
    second = boundary_counts(pred[cut:], target[cut:], num_classes, tolerance)
    assert torch.equal(whole, first + second)
    order = torch.randperm(num_classes, generator=generator)
    new_target = torch.where(target == 255, 255, order[target.clamp(max=num_classes - 1)])
    permuted = boundary_counts(order[pred], new_target, num_classes, tolerance)
    assert torch.equal(permuted[:, order], whole)
    mirrored = boundary_counts(pred.flip(-1), target.flip(-1), num_classes, tolerance)
    assert torch.equal(mirrored, whole)


def test_the_registered_metric_is_the_function():
    pred, target = random_maps(5)
    metric = BoundaryMetric(tolerance=2, classwise=True, prefix='edge')
    metric.dataset_meta = {'classes': list('abcde')}
    metric.process({}, samples_of(pred, target))
    assert [tuple(result.shape) for result in metric.results] == [(7, 5)] * 3
    figures = metric.evaluate(3)
    for name, value in measure(pred, target, 5, tolerance=2).items():
        assert figures[f'edge/{name}'] == value
        of_classes = [figures[f'edge/{name}_{letter}'] for letter in 'abcde']
        assert np.mean(of_classes) == pytest.approx(value)
    options = {'drop_background': True, 'count_ignored_edges': False}
    only = BoundaryMetric(**options, metrics='BF1', num_classes=5)
    only.process({}, samples_of(pred, target))
    assert only.evaluate(3) == {'BF1': measure(pred, target, 5, **options)['BF1']}


@pytest.mark.parametrize('tolerance', [-1, 1.5, True])
def test_a_wrong_tolerance_is_refused(tolerance):
    with pytest.raises(ValueError, match='tolerance must be a whole number of pixels'):
        BoundaryMetric(tolerance=tolerance)
    with pytest.raises(ValueError, match='tolerance must be a whole number of pixels'):
        boundary_counts(torch.zeros(4, 4), torch.zeros(4, 4), 2, tolerance)


def test_wrong_maps_are_refused():
    with pytest.raises(ValueError, match='the target has the labels 9'):
        boundary_counts(torch.zeros(4, 4), torch.full((4, 4), 9), 2)
    with pytest.raises(ValueError, match=r'\(h, w\) or \(n, h, w\), got \(16,\)'):
        boundary_counts(torch.zeros(16), torch.zeros(16), 2)
    assert boundary_counts(torch.zeros(4, 4), torch.full((4, 4), 255), 2).sum() == 0
