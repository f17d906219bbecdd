import contextlib
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from lrp_oracle import slow_lrp
from pycocotools.cocoeval import COCOeval
from scenes import add_masks, coco_pair, random_scene

from mmdet_alrp.evaluation import correlation_bounds, evaluate_lrp
from mmdet_alrp.evaluation.coco_matching import LRPEval, index_coco, load_detections

ROOT = Path(__file__).resolve().parents[2]
COCO_100 = ROOT.parent / 'shared' / 'data' / 'coco_val2014_100'
AP_NAMES = ('AP', 'AP50', 'AP75', 'AP_s', 'AP_m', 'AP_l')


def plain_ap(coco_gt, coco_dt, iou_type='bbox'):
    evaluator = COCOeval(coco_gt, coco_dt, iou_type)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return {n: math.nan if s == -1 else s for n, s in zip(AP_NAMES, evaluator.stats, strict=False)}


def assert_agrees(scene, tau, iou_type='bbox'):
    report = evaluate_lrp(*coco_pair(scene, iou_type), iou_type, tau)
    figures, tables = slow_lrp(scene, tau, iou_type)
    assert report.lrp() == pytest.approx(figures, abs=1e-9, nan_ok=True)
    for c in report.classes:
        if not math.isnan(c.best.threshold):
            at_threshold = tables[c.name][c.best.threshold]
            assert at_threshold == pytest.approx(min(tables[c.name].values()), abs=1e-12)
    return report


@pytest.mark.parametrize('tau', [0.5, 0.75, 0.37])
@pytest.mark.parametrize('seed', range(8))
def test_boxes_agree_with_the_definition_and_with_pycocotools(seed, tau):
    scene = random_scene(seed, crowded=seed % 4 == 0)
    report = assert_agrees(scene, tau)
    assert report.ap == pytest.approx(plain_ap(*coco_pair(scene)), abs=1e-12, nan_ok=True)


@pytest.mark.parametrize('tau', [0.5, 0.65])
@pytest.mark.parametrize('seed', range(3))
def test_masks_agree_with_the_definition_and_with_pycocotools(seed, tau):
    scene = add_masks(random_scene(seed))
    report = assert_agrees(scene, tau, 'segm')
    expected = plain_ap(*coco_pair(scene, 'segm'), 'segm')
    assert report.ap == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_scenes_hold_the_special_cases():
    # guards the tests above: without these the oracle would have nothing to disagree about
    scenes = [random_scene(seed, crowded=seed % 4 == 0) for seed in range(8)]
    annotations = [ann for scene in scenes for ann in scene['annotations']]
    detections = [det for scene in scenes for det in scene['detections']]
    assert any(ann['iscrowd'] for ann in annotations)
    assert {ann['category_id'] for ann in annotations} == {1, 3, 5, 9}
    assert {det['category_id'] for det in detections} == {1, 3, 5, 7}
    areas = np.array([ann['area'] for ann in annotations])
    assert (areas < 32**2).any() and (areas > 96**2).any()
    assert len({det['score'] for det in scenes[0]['detections']}) < len(scenes[0]['detections'])


def load_coco_100():
    if not COCO_100.is_dir():
        if os.environ.get('CI') == 'true':
            pytest.fail(f'{COCO_100} is missing')
        pytest.skip(f'{COCO_100} is not on this machine')
    coco_gt = index_coco(json.loads((COCO_100 / 'instances_val2014_100.json').read_text()))
    detections = json.loads((COCO_100 / 'fakebbox100_results.json').read_text())
    return coco_gt, detections


def test_coco_100_has_its_known_ap_and_the_slow_lrp():
    coco_gt, detections = load_coco_100()
    report = evaluate_lrp(coco_gt, load_detections(coco_gt, detections, 'bbox'))
    known = {'AP': 0.5046, 'AP50': 0.6970, 'AP75': 0.5730}
    assert {name: round(report.ap[name], 4) for name in known} == known
    figures, _ = slow_lrp({**coco_gt.dataset, 'detections': detections}, 0.5)
    assert report.lrp() == pytest.approx(figures, abs=1e-9)
    assert figures['oLRP'] == pytest.approx(0.5015, abs=5e-5)


def golden_pair(detections, num_extra_cats=0):
    boxes = [[0, 0, 10, 10], [100, 0, 10, 10]]
    gt = {
        'images': [{'id': 1, 'width': 200, 'height': 200}],
        'categories': [{'id': i + 1, 'name': f'c{i}'} for i in range(1 + num_extra_cats)],
        'annotations': [
            {'id': i + 1, 'image_id': 1, 'category_id': 1, 'bbox': b, 'area': 100, 'iscrowd': 0}
            for i, b in enumerate(boxes)
        ],
    }
    coco_gt = index_coco(gt)
    dets = [{'image_id': 1, 'category_id': 1, 'bbox': b, 'score': s} for b, s in detections]
    return coco_gt, load_detections(coco_gt, dets, 'bbox')


IOU_8, IOU_6, MISS = [0, 0, 10, 8], [100, 0, 10, 6], [50, 50, 10, 10]
NAN = math.nan


@pytest.mark.parametrize(
    ('detections', 'tau', 'olrp', 'loc', 'fp', 'fn', 'threshold'),
    [
        # LRP at .9: (.4 + 1) / 2; at .6: (.4 + 1 + 1) / 3; at .5: (.4 + .8 + 1) / 3
        ([(IOU_8, 0.9), (MISS, 0.6), (IOU_6, 0.5)], 0.5, 0.7, 0.2, 0, 0.5, 0.9),
        # a tie: .9 lets the false positive in, (.4 + 1 + 1) / 3, so .5 is better
        ([(IOU_8, 0.9), (MISS, 0.9), (IOU_6, 0.5)], 0.5, 2.2 / 3, 0.3, 1 / 3, 0, 0.5),
        # at IoU .75 the second is false: best is the first alone, (.2 / .25 + 1) / 2
        ([(IOU_8, 0.9), (IOU_6, 0.5)], 0.75, 0.9, 0.2, 0, 0.5, 0.9),
        ([([0, 0, 10, 10], 0.3), ([100, 0, 10, 10], 0.2)], 0.5, 0, 0, 0, 0, 0.2),
        ([(MISS, 0.9)], 0.5, 1, NAN, NAN, 1, NAN),
        ([], 0.5, 1, NAN, NAN, 1, NAN),
    ],
)
def test_golden_cases(detections, tau, olrp, loc, fp, fn, threshold):
    report = evaluate_lrp(*golden_pair(detections, num_extra_cats=1), tau=tau)
    lrp = report.lrp()
    got = [lrp[key] for key in ('oLRP', 'oLRP_Loc', 'oLRP_FP', 'oLRP_FN')]
    assert got == pytest.approx([olrp, loc, fp, fn], abs=1e-12, nan_ok=True)
    expected = None if math.isnan(threshold) else threshold
    assert report.thresholds() == {'c0': expected, 'c1': None}


def test_without_ground_truth_nothing_is_defined():
    coco_gt = index_coco({'images': [{'id': 1}], 'annotations': [], 'categories': []})
    report = evaluate_lrp(coco_gt, load_detections(coco_gt, [], 'bbox'))
    assert all(math.isnan(value) for value in report.summary().values())


def test_annotation_id_zero_is_reported():
    coco_gt, coco_dt = golden_pair([(IOU_8, 0.9)])
    coco_gt.anns[0] = coco_gt.anns.pop(1)
    coco_gt.anns[0]['id'] = 0
    coco_gt.createIndex()
    with pytest.warns(UserWarning, match='id 0'):
        evaluate_lrp(coco_gt, coco_dt)


@pytest.mark.parametrize('tau', [0.0, 1.0, -0.5, math.nan])
def test_tau_outside_its_range_is_refused(tau):
    with pytest.raises(ValueError, match='tau'):
        evaluate_lrp(*golden_pair([]), tau=tau)


def test_unknown_iou_type_is_refused():
    with pytest.raises(ValueError, match='iou_type'):
        evaluate_lrp(*golden_pair([]), iou_type='keypoints')


def test_extra_thresholds_leave_the_evaluator_as_asked():
    coco_gt, coco_dt = coco_pair(random_scene(0))
    plain, ours = COCOeval(coco_gt, coco_dt, 'bbox'), LRPEval(coco_gt, coco_dt, 'bbox')
    ours.tau = 0.33
    with contextlib.redirect_stdout(io.StringIO()):
        for evaluator in (plain, ours, ours):  # accumulating twice must work as well
            evaluator.params.iouThrs = np.array([0.6, 0.7])
            evaluator.evaluate()
            evaluator.accumulate()
        ours.accumulate()
    assert ours.params.iouThrs.tolist() == [0.6, 0.7]
    assert ours.eval['counts'] == plain.eval['counts']
    for name in ('precision', 'recall', 'scores'):
        np.testing.assert_array_equal(ours.eval[name], plain.eval[name])


def lonely_objects(seed, num=40):
    """Objects far apart, each hit by one detection, no two scores equal: matching is fixed."""
    rng = np.random.default_rng(seed)
    gt = {
        'images': [{'id': i + 1} for i in range(num)],
        'categories': [{'id': 1, 'name': 'a'}],
        'annotations': [
            {'id': i + 1, 'image_id': i + 1, 'category_id': 1, 'bbox': [0, 0, 50, 50]}
            | {'area': 2500, 'iscrowd': 0}
            for i in range(num)
        ],
    }
    scores = rng.permutation(2 * num) / (2 * num)
    dets = []
    for i in range(num):
        hit, miss = [0, 0, 50, float(rng.uniform(26, 50))], [200, 200, 50, 50]
        for box, score in ((hit, scores[i]), (miss, scores[num + i] / 2 + 1e-4)):
            det = {'image_id': i + 1, 'category_id': 1, 'bbox': box, 'score': float(score)}
            dets.append(det)
    coco_gt = index_coco(gt)
    return coco_gt, load_detections(coco_gt, dets, 'bbox')


@pytest.mark.parametrize('seed', range(3))
def test_bounds_enclose_the_given_order(seed):
    reports = correlation_bounds(*lonely_objects(seed))
    lower, given, upper = (reports[name].summary() for name in ('lower', 'given', 'upper'))
    assert (lower['rho'], upper['rho']) == pytest.approx((-1, 1))
    assert -1 < given['rho'] < 1
    assert lower['AP'] < given['AP'] < upper['AP']
    assert upper['oLRP'] - 1e-12 <= given['oLRP'] <= lower['oLRP'] + 1e-12
    assert upper['oLRP'] < lower['oLRP']
    assert lower['AP50'] == given['AP50'] == upper['AP50']


def test_bounds_keep_the_scores_of_a_class_and_the_input():
    coco_gt, coco_dt = lonely_objects(0)
    before = json.dumps(coco_dt.dataset['annotations'])
    reports = correlation_bounds(coco_gt, coco_dt)
    assert json.dumps(coco_dt.dataset['annotations']) == before
    curves = [reports[name].classes[0].curve for name in ('lower', 'given', 'upper')]
    for curve in curves[1:]:
        np.testing.assert_array_equal(curve.thresholds, curves[0].thresholds)
        np.testing.assert_array_equal(curve.num_tp, curves[0].num_tp)


def test_runs_without_the_stack_and_without_matplotlib():
    script = (
        'import sys\n'
        'for name in ("torch", "mmengine", "mmcv", "mmdet"):\n'
        '    sys.modules[name] = None\n'
        'import mmdet_alrp.evaluation as evaluation\n'
        'assert "matplotlib" not in sys.modules\n'
        'try:\n'
        '    evaluation.CocoLRPMetric\n'
        'except ImportError as error:\n'
        '    assert "mmdet is missing; needed: mmdet>=" in str(error)\n'
        'else:\n'
        '    raise AssertionError\n'
    )
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
