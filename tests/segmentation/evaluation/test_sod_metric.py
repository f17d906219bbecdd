import json
import math
import warnings

import cv2
import numpy as np
import pytest
import torch
from label_maps import camvid_maps
from mmengine.logging import MMLogger
from saliency_oracle import f_measure, oracle, weighted_f

from mmdet_alrp.segmentation.evaluation import SODMetric, saliency, saliency_scores

pytest.importorskip('py_sod_metrics')


def random_saliency(count=4, size=(36, 45), seed=0):
    """Blobs, and soft maps that are near them; no two images alike."""
    generator = np.random.default_rng(seed)
    noise = generator.random((2, count, *size)).astype(np.float32)
    fields, noise = (np.stack([cv2.blur(n, (11, 11)) for n in part]) for part in noise)
    target = fields > np.quantile(fields, 0.7, axis=(1, 2), keepdims=True)
    probs = 1 / (1 + np.exp(-60 * (fields - 0.52) - 90 * (noise - 0.5)))
    return probs.astype(np.float64), target


def samples_of(probs, target):
    return [
        {
            'seg_logits': {'data': torch.as_tensor(p)[None]},
            'gt_sem_seg': {'data': torch.as_tensor(t)[None].long()},
        }
        for p, t in zip(probs, target, strict=True)
    ]


def evaluate(samples, **options):
    metric = SODMetric(**options)
    metric.process({}, samples)
    return metric.evaluate(len(samples))


@pytest.mark.parametrize(('beta2', 'stretch'), [(0.3, True), (1.0, False)])
def test_figures_are_those_of_the_definitions(beta2, stretch):
    probs, target = random_saliency()
    figures = evaluate(samples_of(probs, target), beta2=beta2, stretch=stretch)
    weighted = figures.pop('wF')
    assert figures == pytest.approx(oracle(probs, target, beta2, stretch), rel=1e-9)
    assert 0.3 < figures['meanF'] < figures['maxF'] < 0.95
    assert 0.3 < weighted < 0.95


def test_weighted_f_is_that_of_the_definition():
    probs = np.round(255 * np.random.default_rng(0).random((2, 15, 18))) / 255
    target = np.zeros(probs.shape, dtype=bool)
    target[0, :, :7] = target[1, :, :12] = True
    figures = evaluate(samples_of(probs, target), stretch=False)
    expected = (weighted_f(probs[0], 7) + weighted_f(probs[1], 12)) / 2
    assert figures['wF'] == pytest.approx(expected, rel=1e-9)
    assert 0.2 < expected < 0.8


def test_figures_of_real_masks(shared_data):
    pred, target = camvid_maps(shared_data, count=2)
    target = target.numpy() == 1  # buildings
    probs = np.stack([cv2.blur((labels == 1) * 0.9, (15, 15)) for labels in pred.numpy()])
    figures = evaluate(samples_of(probs, target))
    assert 0 < figures.pop('wF') < 1
    assert figures == pytest.approx(oracle(probs, target), rel=1e-9)


def test_figures_are_the_library_s_of_stored_grey_images():
    import py_sod_metrics as measures

    probs, target = random_saliency()
    classes = (measures.MAE, measures.Smeasure, measures.Emeasure, measures.WeightedFmeasure)
    mae, structure, enhanced, weighted = theirs = [measure() for measure in classes]
    for p, t in zip(probs, target, strict=True):
        for measure in theirs:
            measure.step(np.round(255 * p).astype(np.uint8), t.astype(np.uint8) * 255)
    figures = evaluate(samples_of(probs, target))
    assert figures['MAE'] == pytest.approx(mae.get_results()['mae'], rel=1e-12)
    assert figures['Smeasure'] == pytest.approx(structure.get_results()['sm'], rel=1e-12)
    assert figures['wF'] == pytest.approx(weighted.get_results()['wfm'], rel=1e-12)
    curve = enhanced.get_results()['em']['curve']
    assert figures['maxE'] == pytest.approx(curve.max(), rel=1e-12)


def test_perfect_and_inverted():
    _, target = random_saliency()
    perfect = evaluate(samples_of(target * 1.0, target))
    ones = ('maxF', 'adpF', 'Smeasure', 'wF')
    assert [perfect[name] for name in ones] == pytest.approx([1.0] * 4)
    assert perfect['MAE'] == 0
    inverted = evaluate(samples_of(1.0 - target, target))
    assert inverted['MAE'] == 1
    assert inverted['adpF'] == 0 and inverted['wF'] < 0.1
    assert inverted['maxF'] == pytest.approx(f_measure(np.ones(10, bool), np.arange(10) < 3, 0.3))
    assert inverted['Smeasure'] < 0.1


@pytest.mark.parametrize('salient', [False, True])
def test_masks_of_nothing_and_of_everything(salient, monkeypatch):
    warned = []
    monkeypatch.setattr(MMLogger, 'warning', lambda _, text: warned.append(text))
    target = np.full((2, 12, 12), salient)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        right = evaluate(samples_of(target * 1.0, target))
        wrong = evaluate(samples_of(1.0 - target, target))
    assert right['MAE'] == 0 and right['Smeasure'] == 1
    assert wrong['MAE'] == 1 and wrong['Smeasure'] == 0
    assert right['maxF'] == pytest.approx(float(salient))
    assert all(map(math.isfinite, [*right.values(), *wrong.values()]))
    assert len([text for text in warned if 'No evaluated image has a salient pixel' in text]) == (
        0 if salient else 2
    )


def test_an_object_in_the_corner_has_a_structure_measure():
    target = np.zeros((1, 12, 14), dtype=bool)
    target[:, -1, -1] = True
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        figures = evaluate(samples_of(target * 0.75 + 0.125, target))
    assert figures['Smeasure'] == pytest.approx(1)
    assert all(map(math.isfinite, figures.values()))


def test_ignored_pixels_take_no_part():
    probs, target = random_saliency(count=2)
    labels = target.astype(np.int64)
    labels[:, :, 30:] = 255
    other = probs.copy()
    other[:, :, 30:] = 1.0
    figures = evaluate(samples_of(probs, labels))
    assert figures == evaluate(samples_of(other, labels))
    cut = evaluate(samples_of(probs[:, :, :30], target[:, :, :30]))
    for name in ('maxF', 'meanF', 'adpF', 'maxE', 'meanE', 'adpE', 'MAE'):
        assert figures[name] == pytest.approx(cut[name], rel=1e-9)
    assert all(0 < figures[name] < 1 for name in ('Smeasure', 'wF'))
    labels[1] = 255  # an image in which nothing counts
    first = evaluate(samples_of(probs[:1], labels[:1]))
    assert evaluate(samples_of(probs, labels)) == first
    with pytest.raises(ValueError, match='no image with pixels that count'):
        evaluate(samples_of(probs[1:], labels[1:]))


def test_two_channels_are_logits():
    probs, target = random_saliency()
    logits = torch.from_numpy(np.log(probs) - np.log1p(-probs))
    both = torch.stack([-0.5 * logits, 0.5 * logits], 1)
    samples = samples_of(probs, target)
    expected = evaluate(samples)
    for sample, channels in zip(samples, both, strict=True):
        sample['seg_logits'] = channels
    assert evaluate(samples) == pytest.approx(expected, rel=1e-9)


def test_half_precision_and_plain_maps():
    probs, target = random_saliency()
    probs = np.round(255 * probs) / 255
    expected = evaluate(samples_of(probs, target))
    half = samples_of(torch.from_numpy(probs).half(), target)
    assert evaluate(half) == pytest.approx(expected, abs=1e-3)
    plain = [{'p': p, 't': t} for p, t in zip(probs, target.astype(np.uint8), strict=True)]
    assert evaluate(plain, pred_key='p', target_key='t') == expected


def test_maps_are_resized_only_if_asked():
    probs, target = random_saliency()
    small = [cv2.resize(p, (15, 12), interpolation=cv2.INTER_LINEAR) for p in probs]
    with pytest.raises(ValueError, match=r'same size, got \(12, 15\) and \(36, 45\); or set'):
        evaluate(samples_of(small, target))
    large = [cv2.resize(p, (45, 36), interpolation=cv2.INTER_LINEAR) for p in small]
    figures = evaluate(samples_of(small, target), resize=True)
    assert figures == pytest.approx(evaluate(samples_of(large, target)), abs=2e-3)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'seg_logits': torch.full((1, 4, 4), 3.0)}, 'must hold probabilities .* from 3 to 3'),
        ({'seg_logits': torch.full((1, 4, 4), math.nan)}, 'from nan to nan'),
        ({'seg_logits': torch.zeros(3, 4, 4)}, 'one channel .* or two of logits, got 3 channels'),
        ({'seg_logits': None}, "no 'seg_logits', .* predict mode"),
        ({'gt_sem_seg': torch.full((1, 4, 4), 128)}, 'the target has the labels 128; with 2'),
        ({'gt_sem_seg': torch.zeros(2, 4, 4)}, r'shape \(1, h, w\), got \(2, 4, 4\)'),
    ],
)
def test_wrong_samples_are_refused_in_one_line(change, message):
    sample = {'seg_logits': torch.zeros(1, 4, 4), 'gt_sem_seg': torch.zeros(1, 4, 4), **change}
    with pytest.raises(ValueError, match=message) as error:
        evaluate([sample])
    assert '\n' not in str(error.value)


def test_wrong_options_are_refused(monkeypatch):
    with pytest.raises(ValueError, match='beta2 must be positive, got 0'):
        SODMetric(beta2=0)
    with pytest.raises(ValueError, match=r'must have one shape \(h, w\)'):
        saliency_scores(np.zeros((3, 4)), np.zeros((4, 4), dtype=bool))
    monkeypatch.setattr(saliency.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match='run `pip install pysodmetrics`'):
        SODMetric()


def test_curves_are_written(tmp_path):
    folder = tmp_path / 'new' / 'curves'
    probs, target = random_saliency()
    figures = evaluate(samples_of(probs, target), curves_dir=str(folder), method='BCE')
    assert sorted(file.name for file in folder.iterdir()) == [
        'curves.json', 'f_threshold.png', 'pr_curve.png'
    ]  # fmt: skip
    curves = json.loads((folder / 'curves.json').read_text())['BCE']
    assert max(curves['F']) == figures['maxF']
    assert np.mean(curves['E']) == pytest.approx(figures['meanE'])
    assert curves['threshold'][0] == 0 and curves['threshold'][-1] == 1
    assert curves['recall'][0] == 1 and np.all(np.diff(curves['recall']) <= 0)
    assert curves['precision'][0] == pytest.approx(target.mean())
