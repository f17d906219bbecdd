import json

import numpy as np
import pytest
from analysis_tools import tool
from calibration_golden import EXPECTED, LRP, golden_scene
from calibration_oracle import binned_error, slow_calibration
from mmdet.evaluation import CocoMetric
from scenes import add_masks, coco_pair, files_of, random_scene
from test_coco_lrp_metric import ann_file_of, run

from mmdet_alrp.calibration import match_classes
from mmdet_alrp.evaluation import (
    CocoLRPMetric,
    absolute_calibration_error,
    evaluate_lrp,
    expected_calibration_error,
)
from mmdet_alrp.evaluation.calibration_errors import reliability_bins
from mmdet_alrp.evaluation.matched_classes import merge_classes
from mmdet_alrp.evaluation.reliability_plots import reliability_figure

eval_lrp = tool('eval_lrp')
ROWS = np.random.default_rng(0).uniform(size=(2, 400))


@pytest.mark.parametrize(
    ('scores', 'ious', 'expected'),
    [
        (ROWS[0], ROWS[0], 0.0),
        (np.ones(5), np.zeros(5), 1.0),
        (np.array([0.9, 0.8, 0.1]), np.array([0.8, 0.0, 0.0]), (0.1 + 0.8 + 0.1) / 3),
        (np.array([0.5, 0.5]), np.array([0.4, 0.6]), 0.0),
        (np.zeros(0), np.zeros(0), np.nan),
    ],
    ids=['perfect', 'all wrong', 'bins of their own', 'errors in a bin cancel', 'nothing'],
)
def test_error_of_one_class_by_hand(scores, ious, expected):
    error = expected_calibration_error(scores, ious)
    assert error == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_absolute_error_does_not_cancel():
    scores = np.array([0.5, 0.5, 0.2])
    error = absolute_calibration_error(scores, np.array([0.4, 0.6, 0.5]))
    assert error == pytest.approx((0.1 + 0.1 + 0.3) / 3)
    assert np.isnan(absolute_calibration_error(np.zeros(0), np.zeros(0)))


@pytest.mark.parametrize('num_bins', [10, 25])
def test_an_edge_belongs_to_the_bin_below_and_zero_to_the_first(num_bins):
    edges = np.array([k / num_bins for k in range(num_bins + 1)])
    counts = reliability_bins(edges, edges, num_bins).counts
    assert counts.tolist() == [2] + [1] * (num_bins - 1)
    above = np.nextafter(edges[:-1], 1)
    assert reliability_bins(above, above, num_bins).counts.tolist() == [1] * num_bins


@pytest.mark.parametrize('num_bins', [10, 25])
def test_error_agrees_with_the_loop(num_bins):
    error = expected_calibration_error(*ROWS, num_bins)
    pairs = list(zip(*ROWS.tolist(), strict=True))
    assert error == pytest.approx(binned_error(pairs, num_bins), abs=1e-12)
    assert error <= absolute_calibration_error(*ROWS) + 1e-12


def test_golden_set_by_hand():
    report = evaluate_lrp(*coco_pair(golden_scene()), calibration=True)
    assert report.calibration.summary() == pytest.approx(EXPECTED, abs=1e-12)
    assert min(LRP, key=LRP.get) == 0.7  # why only two of the cells count
    cell, dot, rod = report.calibration.classes
    assert (cell.bins.counts.sum(), dot.bins.counts.sum(), rod.bins.counts.sum()) == (2, 1, 0)
    assert np.isnan(rod.laece) and np.isnan(rod.laace)


@pytest.mark.parametrize('backend', ['pycocotools', 'faster_coco_eval'])
@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
@pytest.mark.parametrize('seed', range(3))
def test_random_sets_agree_with_the_slow_oracle(seed, iou_type, backend):
    if backend == 'faster_coco_eval':
        pytest.importorskip('faster_coco_eval', reason='faster-coco-eval is optional')
    scene = add_masks(random_scene(seed, crowded=seed == 2))
    expected, by_class = slow_calibration(scene, iou_type)
    pair = coco_pair(scene, iou_type)
    report = evaluate_lrp(*pair, iou_type, backend=backend, calibration=True)
    assert 0 < expected['LaECE_0'] < 1
    assert report.calibration.summary() == pytest.approx(expected, abs=1e-9)
    got = {c.name: c.laece for c in report.calibration.classes}
    assert got == pytest.approx(by_class, abs=1e-9, nan_ok=True)
    # the additional IoU threshold changes nothing else
    without = evaluate_lrp(*pair, iou_type, backend=backend)
    assert without.calibration is None
    assert {**report.summary(), **without.summary()} == pytest.approx(
        report.summary(), abs=0, nan_ok=True
    )


@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
@pytest.mark.parametrize('seed', range(2))
def test_classes_of_parts_of_the_images_merge_to_those_of_all(seed, iou_type):
    scene = add_masks(random_scene(seed))
    pair = (*coco_pair(scene, iou_type), iou_type)
    ids = [image['id'] for image in scene['images']]
    whole = match_classes(*pair)
    parts = zip(*(match_classes(*pair, ids[start::2]) for start in (0, 1)), strict=True)
    for one, other in zip(whole, map(merge_classes, parts), strict=True):
        for kind in ('by_iou', 'by_tp'):
            rows = []
            for c in (getattr(one, kind), getattr(other, kind)):
                rows.append(sorted(zip(c.scores, c.is_tp, c.ious, c.detection_ids, strict=True)))
                assert (np.diff(c.scores) <= 0).all()
            assert rows[0] == rows[1]
            assert getattr(one, kind).num_gt == getattr(other, kind).num_gt
        assert one.optimal_threshold() == other.optimal_threshold()


def test_metric_adds_the_figures_and_keeps_the_others(tmp_path):
    scene = add_masks(random_scene(2))
    options = {'ann_file': ann_file_of(scene, tmp_path), 'metric': ['bbox', 'segm']}
    plain = run(CocoLRPMetric(**options, classwise=True), scene, masks=True)
    metric = CocoLRPMetric(**options, classwise=True, calibration=True)
    figures = run(metric, scene, masks=True)
    expected = {}
    for iou_type in ('bbox', 'segm'):
        summary, by_class = slow_calibration(scene, iou_type)
        expected |= {f'coco/{iou_type}_{name}': value for name, value in summary.items()}
        expected |= {f'coco/{iou_type}_{n}_LaECE_0': value for n, value in by_class.items()}
    new = {key: value for key, value in figures.items() if key not in plain}
    assert {key: new.pop(key) for key in expected} == pytest.approx(expected, abs=1e-9, nan_ok=True)
    assert all(key.endswith('_LaACE_0') for key in new)
    assert {key: figures[key] for key in plain} == pytest.approx(plain, abs=0, nan_ok=True)
    parents = run(CocoMetric(**options), scene, masks=True)
    assert all(round(figures[key], 3) == pytest.approx(parents[key]) for key in parents)


def write(folder, scene):
    gt, detections = files_of(scene)
    paths = [folder / 'gt.json', folder / 'dt.json']
    for path, content in zip(paths, (gt, detections), strict=True):
        path.write_text(json.dumps(content))
    return [str(path) for path in paths]


def test_tool_prints_writes_and_draws(tmp_path, capsys):
    files = write(tmp_path, golden_scene())
    out, plots = tmp_path / 'out.json', tmp_path / 'plots'
    options = ['--calibration', '--json', str(out), '--plot', str(plots), '--per-class']
    assert eval_lrp.main([*files, *options]) == 0
    figures = json.loads(out.read_text())
    assert {key: figures[key] for key in EXPECTED} == pytest.approx(EXPECTED)
    printed = capsys.readouterr().out
    assert 'LaECE_0   0.2500' in printed
    (row,) = (line for line in printed.splitlines() if line.startswith('cell'))
    assert row.split()[-2:] == ['0.1000', '0.1000']
    diagrams = sorted(path.name for path in plots.glob('reliability*'))
    names = ['reliability.png', 'reliability_001_cell.png', 'reliability_002_dot.png']
    assert diagrams == names
    for name in names:
        assert (plots / name).read_bytes().startswith(b'\x89PNG')


def test_diagram_shows_the_weights_of_the_bins():
    scores, ious = np.array([0.1, 0.5, 0.51]), np.array([0.3, 0.6, 0.8])
    figure = reliability_figure(reliability_bins(scores, ious, 25), 'title')
    top, bottom = figure.axes
    assert sorted(bar.get_height() for bar in top.patches) == pytest.approx([0.3, 0.7])
    weights = [bar.get_height() for bar in bottom.patches]
    assert sum(weights) == pytest.approx(1) and max(weights) == pytest.approx(2 / 3)
    assert '3 detections' in bottom.get_title()
    empty = reliability_figure(reliability_bins(np.zeros(0), np.zeros(0), 25), 'nothing')
    assert not empty.axes[0].patches


def test_tool_refuses_scores_that_promise_nothing(tmp_path, capsys):
    scene = golden_scene()
    scene['detections'][3]['score'] = 1.5
    files = write(tmp_path, scene)
    assert eval_lrp.main([*files, '--calibration']) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert 'dt.json: detection 3: "score" is 1.5' in line and 'in [0, 1]' in line
    assert eval_lrp.main(files) == 0
    with pytest.raises(
        ValueError, match=r"scores in \[0, 1\]; those of 'cell' run from .* to 1\.5"
    ):
        evaluate_lrp(*coco_pair(scene), calibration=True)


def test_nothing_detected_has_no_calibration(tmp_path):
    scene = {**golden_scene(), 'detections': []}
    report = evaluate_lrp(*coco_pair(scene), calibration=True)
    assert all(np.isnan(value) for value in report.calibration.summary().values())
    out = tmp_path / 'out.json'
    options = ['--calibration', '--json', str(out), '--plot', str(tmp_path / 'plots')]
    assert eval_lrp.main([*write(tmp_path, scene), *options]) == 0
    assert json.loads(out.read_text())['LaECE_0'] is None
