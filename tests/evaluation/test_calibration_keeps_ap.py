"""Calibrated detections have the AP and oLRP of the raw ones."""

import numpy as np
import pytest
import torch
from scenes import coco_pair, random_scene
from sklearn.isotonic import IsotonicRegression

from mmdet_alrp.calibration import METHODS, fit_calibration, match_classes
from mmdet_alrp.calibration.score_map import ScoreMap
from mmdet_alrp.evaluation.lrp import evaluate_lrp

UNCHANGED = ('AP', 'AP50', 'AP75', 'AP_s', 'AP_m', 'AP_l', 'oLRP', 'oLRP_Loc', 'oLRP_FP', 'oLRP_FN')


def crowded_scene(seed):
    """Many images, and scores as a ranking loss gives them: low, in single precision, no ties."""
    scene = random_scene(seed, num_images=60)
    rng = np.random.default_rng(seed)
    for det in scene['detections']:
        det['score'] = float(np.float32(0.2 * rng.uniform()))
    return scene


def with_scores(scene, new_score):
    names = {cat['id']: cat['name'] for cat in scene['categories']}
    found = [
        {**det, 'score': new_score(names[det['category_id']], det['score'])}
        for det in scene['detections']
    ]
    return evaluate_lrp(*coco_pair({**scene, 'detections': found}))


def kept_figures(report):
    return {name: report.summary()[name] for name in UNCHANGED}


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('seed', range(2))
def test_maps_of_every_method_keep_the_figures(seed, method):
    scene = crowded_scene(seed)
    raw = evaluate_lrp(*coco_pair(scene))
    calibration = fit_calibration(match_classes(*coco_pair(scene)), method)
    report = with_scores(scene, lambda name, score: float(calibration.knots_of(name)(score)))
    assert kept_figures(report) == pytest.approx(kept_figures(raw), abs=1e-12, nan_ok=True)
    for one, other in zip(raw.classes, report.classes, strict=True):
        if not np.isnan(one.best.threshold):
            expected = calibration.knots_of(one.name)(one.best.threshold)
            assert other.best.threshold == pytest.approx(expected)


@pytest.mark.parametrize('seed', range(2))
def test_the_map_of_a_model_keeps_them_in_single_precision(seed):
    scene = crowded_scene(seed)
    raw = evaluate_lrp(*coco_pair(scene))
    calibration = fit_calibration(match_classes(*coco_pair(scene)))
    names = [cat['name'] for cat in scene['categories']]
    score_map = ScoreMap([calibration.knots_of(name) for name in names])

    def mapped(name, score):
        return float(score_map(torch.tensor([score]), torch.tensor([names.index(name)])))

    report = with_scores(scene, mapped)
    assert kept_figures(report) == pytest.approx(kept_figures(raw), abs=1e-12, nan_ok=True)


def test_steps_without_the_order_of_the_raw_scores_do_not():
    """Why the steps of isotonic regression are tilted."""
    scene = crowded_scene(0)
    steps = {}
    for c in match_classes(*coco_pair(scene)):
        if len(c.by_iou.scores):
            fitted = IsotonicRegression(y_min=0, y_max=1, out_of_bounds='clip')
            steps[c.name] = fitted.fit(c.by_iou.scores, c.by_iou.ious)
    report = with_scores(scene, lambda name, score: float(steps[name].predict([score])[0]))
    raw = evaluate_lrp(*coco_pair(scene))
    assert abs(report.summary()['AP'] - raw.summary()['AP']) > 1e-3
