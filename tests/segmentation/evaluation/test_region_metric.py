import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from label_maps import camvid_maps, random_maps, samples_of
from mmengine.evaluator import Evaluator
from mmengine.registry import METRICS
from mmengine.structures import PixelData

from mmdet_alrp.segmentation.evaluation import (
    RegionMetric,
    class_counts,
    confusion_matrix,
    region_metrics,
    segmentation_metrics,
)


def oracle(pred, target, num_classes, ignore_index=255):
    """Figures straight from the definitions, class by class, in NumPy."""
    pred, target = np.asarray(pred), np.asarray(target)
    pred, target = pred[target != ignore_index], target[target != ignore_index]
    ious, accuracies, weighted = [], [], 0.0
    for c in range(num_classes):
        hits = np.sum((pred == c) & (target == c))
        union = np.sum((pred == c) | (target == c))
        true = np.sum(target == c)
        if union:
            ious.append(hits / union)
            weighted += true / target.size * hits / union
        if true:
            accuracies.append(hits / true)
    accuracy = np.mean(pred == target)
    figures = (np.mean(ious), weighted, np.mean(accuracies), accuracy)
    return dict(zip(('mIoU', 'FWIoU', 'mAcc', 'gAcc'), map(float, figures), strict=True))


def evaluate(samples, **options):
    options = {'num_classes': 5, **options}
    metric = RegionMetric(**options)
    metric.process({}, samples)
    return metric.evaluate(len(samples))


@pytest.mark.parametrize('num_classes', [2, 5, 21])
def test_figures_are_those_of_the_definitions(num_classes, device):
    pred, target = random_maps(num_classes)
    confusion = confusion_matrix(pred.to(device), target.to(device), num_classes)
    assert confusion.sum() == (target != 255).sum()
    expected = oracle(pred, target, num_classes)
    assert segmentation_metrics(confusion) == pytest.approx(expected, rel=1e-12)
    assert 0.2 < expected['mIoU'] < 0.9


def test_figures_of_real_masks(shared_data):
    pred, target = camvid_maps(shared_data)
    figures = segmentation_metrics(confusion_matrix(pred, target, 11))
    assert figures == pytest.approx(oracle(pred, target, 11), rel=1e-12)
    assert 0.4 < figures['mIoU'] < 0.95


def test_by_hand():
    target = torch.tensor([[0, 0, 0, 1], [1, 255, 0, 0]])
    pred = torch.tensor([[0, 0, 1, 1], [0, 1, 0, 0]])
    figures = segmentation_metrics(confusion_matrix(pred, target, 2))
    iou_0, iou_1 = 4 / 6, 1 / 3
    expected = {
        'mIoU': (iou_0 + iou_1) / 2,
        'FWIoU': (5 * iou_0 + 2 * iou_1) / 7,
        'mAcc': (4 / 5 + 1 / 2) / 2,
        'gAcc': 5 / 7,
    }
    assert figures == pytest.approx(expected, rel=1e-12)


def test_perfect_is_one_and_inverted_is_zero():
    _, target = random_maps(2)
    target = target.where(target != 255, 0)
    for pred, value in ((target, 1.0), (1 - target, 0.0)):
        figures = segmentation_metrics(confusion_matrix(pred, target, 2))
        assert figures == dict.fromkeys(('mIoU', 'FWIoU', 'mAcc', 'gAcc'), value)


def test_classes_that_are_absent():
    target = torch.tensor([[0, 0, 1, 1]])
    right = segmentation_metrics(confusion_matrix(target, target, 4))
    assert set(right.values()) == {1.0}  # classes 2 and 3 are nowhere: they take no part
    pred = torch.tensor([[0, 0, 1, 2]])
    figures = segmentation_metrics(confusion_matrix(pred, target, 4))
    assert figures['mIoU'] == pytest.approx((1 + 0.5 + 0) / 3)  # class 2 is predicted: IoU 0
    assert figures['mAcc'] == pytest.approx((1 + 0.5) / 2)  # but has no true pixels


def test_nothing_that_counts_gives_nan():
    target = torch.full((4, 4), 255)
    figures = segmentation_metrics(confusion_matrix(torch.zeros(4, 4), target, 3))
    assert all(map(math.isnan, figures.values()))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(0, 10**6), st.integers(0, 12))
def test_permuted_classes_and_split_images_change_nothing(num_classes, seed, cut):
    generator = torch.Generator().manual_seed(seed)
    pred, target = torch.randint(num_classes, (2, 12, 3, 4), generator=generator)
    target[torch.rand(target.shape, generator=generator) < 0.2] = 255
    whole = confusion_matrix(pred, target, num_classes)
    parts = [confusion_matrix(*part, num_classes) for part in
             ((pred[:cut], target[:cut]), (pred[cut:], target[cut:]))]  # fmt: skip
    assert torch.equal(whole, parts[0] + parts[1])
    order = torch.randperm(num_classes, generator=generator)
    new_target = torch.where(target == 255, 255, order[target.clamp(max=num_classes - 1)])
    permuted = segmentation_metrics(confusion_matrix(order[pred], new_target, num_classes))
    assert permuted == pytest.approx(segmentation_metrics(whole), rel=1e-9, nan_ok=True)
    counts = sum(class_counts(part) for part in parts)
    assert region_metrics(counts) == pytest.approx(segmentation_metrics(whole), nan_ok=True)


def test_mmsegmentation_finds_the_same(shared_data):
    iou_metric = pytest.importorskip('mmseg.evaluation').IoUMetric
    names = [f'class {index}' for index in range(11)]
    samples = samples_of(*camvid_maps(shared_data))
    theirs = iou_metric(iou_metrics=['mIoU'], prefix='theirs')
    ours = RegionMetric(classwise=True)
    table = {}
    for metric in (theirs, ours):
        metric.dataset_meta = {'classes': names}
        metric.process({}, samples)
    sums = [sum(column) for column in zip(*theirs.results, strict=True)]
    table = theirs.total_area_to_metrics(*sums)
    figures = ours.evaluate(len(samples))
    for index, name in enumerate(names):
        for key in ('IoU', 'Acc'):
            expected = float(table[key][index])
            assert figures[f'{key}_{name}'] == pytest.approx(expected, rel=1e-6, nan_ok=True)
    rounded = theirs.evaluate(len(samples))
    for key, name in (('mIoU', 'mIoU'), ('mAcc', 'mAcc'), ('aAcc', 'gAcc')):
        assert rounded[f'theirs/{key}'] == pytest.approx(100 * figures[name], abs=0.006)


def test_samples_of_every_kind_give_the_same():
    pred, target = random_maps(5)
    plain = [{'pred_sem_seg': p, 'gt_sem_seg': t} for p, t in zip(pred, target, strict=True)]
    arrays = [{key: value.numpy() for key, value in sample.items()} for sample in plain]
    pixels = [{key: PixelData(data=v[None]) for key, v in sample.items()} for sample in plain]
    floats = samples_of(pred.float(), target.to(torch.uint8))  # as of MMSegmentation's one channel
    expected = evaluate(samples_of(pred, target))
    for samples in (plain, arrays, pixels, floats):
        assert evaluate(samples) == expected
    renamed = [{'p': s['pred_sem_seg'], 't': s['gt_sem_seg']} for s in plain]
    assert evaluate(renamed, pred_key='p', target_key='t') == expected


def test_options():
    samples = samples_of(*random_maps(5))
    assert list(evaluate(samples, metrics='mAcc')) == ['mAcc']
    assert list(evaluate(samples, metrics=['gAcc', 'mIoU'], prefix='val')) == [
        'val/gAcc', 'val/mIoU'
    ]  # fmt: skip
    assert 'IoU_4' in evaluate(samples, classwise=True)
    ignored = evaluate(samples, ignore_index=0, metrics='mIoU', num_classes=256)
    pred, target = random_maps(5)
    assert ignored['mIoU'] == pytest.approx(oracle(pred, target, 256, 0)['mIoU'])


def test_the_evaluator_unpacks_data_samples():
    structures = pytest.importorskip('mmseg.structures')
    pred, target = random_maps(5)
    samples = [
        structures.SegDataSample(
            pred_sem_seg=PixelData(data=p[None]), gt_sem_seg=PixelData(data=t[None])
        )
        for p, t in zip(pred, target, strict=True)
    ]
    evaluator = Evaluator([RegionMetric(num_classes=5)])
    evaluator.process(samples, {})
    assert evaluator.evaluate(len(samples)) == evaluate(samples_of(pred, target))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'gt_sem_seg': torch.full((1, 4, 4), 7)}, 'the target has the labels 7; with 5 classes'),
        ({'gt_sem_seg': torch.full((1, 4, 4), -1)}, 'the target has the labels -1'),
        ({'pred_sem_seg': torch.full((1, 4, 4), 5)}, 'the prediction has the labels 5'),
        ({'pred_sem_seg': torch.full((1, 4, 4), 0.5)}, 'the prediction has the labels 0.5'),
        ({'pred_sem_seg': torch.zeros(1, 4, 5)}, r'same size: got \(1, 4, 5\) and \(1, 4, 4\)'),
        ({'pred_sem_seg': torch.zeros(5, 4, 4)}, r'one label a pixel, .* got \(5, 4, 4\)'),
        ({'gt_sem_seg': None}, "no 'gt_sem_seg', only .* the test pipeline has to load"),
        ({'gt_sem_seg': 'a.png'}, 'gt_sem_seg must be a tensor .* got str'),
    ],
)
def test_wrong_samples_are_refused_in_one_line(change, message):
    sample = {'pred_sem_seg': torch.zeros(1, 4, 4), 'gt_sem_seg': torch.zeros(1, 4, 4), **change}
    with pytest.raises(ValueError, match=message) as error:
        evaluate([sample])
    assert '\n' not in str(error.value)


def test_wrong_options_are_refused():
    for metrics in ('IoU', [], ['mIoU', 'mDice']):
        with pytest.raises(ValueError, match='metrics must be some of mIoU, FWIoU, mAcc, gAcc'):
            RegionMetric(metrics=metrics)
    with pytest.raises(ValueError, match='names no classes'):
        evaluate(samples_of(*random_maps(5)), num_classes=None)
    with pytest.raises(ValueError, match='no image was evaluated'):
        RegionMetric(num_classes=5).evaluate(0)
    with pytest.raises(ValueError, match=r'shape \(c, c\), got \(2, 3\)'):
        segmentation_metrics(torch.zeros(2, 3))


def test_other_registries_find_the_metrics():
    for name in ('mmseg', 'mmdet'):
        registry = pytest.importorskip(f'{name}.registry').METRICS
        for metric in ('RegionMetric', 'BoundaryMetric', 'SODMetric'):
            assert registry.get(metric) is METRICS.get(metric) is not None
