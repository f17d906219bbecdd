import json
from dataclasses import replace

import numpy as np
import pytest
from matches import matched, random_class

from mmdet_alrp.calibration import (
    METHODS,
    CalibrationError,
    calibration_report,
    cross_fit,
    fit_calibration,
    read_calibration,
    write_calibration,
)
from mmdet_alrp.calibration.fitting import MIN_DETECTIONS
from mmdet_alrp.evaluation.threshold_files import read_thresholds

FEW = matched('few', [0.1, 0.2, 0.3], [0.0, 0.9, 0.8])


def test_protocol_step_by_step():
    classes = [random_class('a', 0), random_class('b', 1)]
    calibration = fit_calibration(classes)
    for c in classes:
        own = calibration.classes[c.name]
        assert own.raw_threshold == c.optimal_threshold()
        # by hand: LRP at every score, its lowest
        scores, ious = c.by_iou.scores, c.by_iou.ious
        lrp = {}
        for threshold in scores:
            kept = ious[scores >= threshold]
            num_tp = (kept > 0).sum()
            num_fn = c.by_iou.num_gt - num_tp
            error = (1 - kept[kept > 0]).sum() + (kept == 0).sum() + num_fn
            lrp[threshold] = error / (len(kept) + num_fn)
        assert own.raw_threshold == min(lrp, key=lrp.get)
        assert own.num_detections == (scores >= own.raw_threshold).sum() < len(scores)
        # the map keeps the order, so that the second threshold lies where the first did
        assert own.threshold == pytest.approx(own.knots(own.raw_threshold), abs=2e-5)
        after = calibration.applied(c)
        assert len(after.by_iou.scores) == own.num_detections
    before, after = (report.summary() for report in calibration.judged(classes))
    assert calibration.errors == {'before': before, 'after': after}
    assert after['LaECE_0'] < 0.02 < 0.3 < before['LaECE_0']


@pytest.mark.parametrize('method', METHODS)
def test_every_method_helps_on_images_it_was_not_fitted_to(method):
    classes = [random_class('a', 0, 400), random_class('b', 1, 400)]
    others = [random_class('a', 2, 400), random_class('b', 3, 400)]
    before, after = fit_calibration(classes, method).judged(others)
    assert after.summary()['LaECE_0'] < 0.6 * before.summary()['LaECE_0']


def test_isotonic_is_calibrated_where_it_was_fitted():
    c = random_class('a', 4, 500)
    after = fit_calibration([c]).applied(c)
    for value in np.unique(after.by_iou.scores.round(2)):
        inside = after.by_iou.scores.round(2) == value
        if inside.sum() > 20:
            assert after.by_iou.ious[inside].mean() == pytest.approx(value, abs=0.03)


def test_a_class_with_few_detections_gets_the_map_of_all():
    classes = [random_class('a', 0), FEW, matched('none', [], [], num_gt=2)]
    calibration = fit_calibration(classes)
    assert calibration.classes['few'].num_detections == 2 < MIN_DETECTIONS
    assert calibration.classes['few'].knots is calibration.classes['none'].knots is None
    assert calibration.knots_of('few') is calibration.shared
    assert calibration.classes['none'].raw_threshold is None
    exactly = matched('b', np.linspace(0.1, 0.9, MIN_DETECTIONS), np.full(MIN_DETECTIONS, 0.7))
    assert fit_calibration([exactly]).classes['b'].knots is not None


def test_a_class_that_was_not_there_gets_the_map_of_all_and_keeps_everything():
    calibration, new = fit_calibration([random_class('a', 0)]), random_class('new', 1)
    before, after = calibration.judged([new])
    assert before.all_bins().counts.sum() == after.all_bins().counts.sum() == 200
    expected = calibration.shared(new.by_iou.scores)
    np.testing.assert_array_equal(calibration.applied(new).by_iou.scores, expected)


def test_class_agnostic_is_one_map_for_all():
    classes = [random_class('a', 0), random_class('b', 1)]
    calibration = fit_calibration(classes, class_agnostic=True)
    assert calibration.knots_of('a') is calibration.knots_of('b') is calibration.shared


def test_folds_are_judged_by_maps_that_did_not_see_them():
    scores = np.linspace(0.3, 0.6, 50)
    good, bad = matched('a', scores, np.full(50, 0.9)), matched('a', scores, np.full(50, 0.2))
    errors = cross_fit([[good], [bad]]).summary()
    # what the other fold would have one expect is wrong by .7 for every detection
    assert errors['LaACE_0'] == pytest.approx(0.7, abs=2e-3)
    assert cross_fit([[good], [good]]).summary()['LaECE_0'] == pytest.approx(0, abs=2e-3)


def test_cross_fitting_sees_what_the_fitted_images_hide():
    folds = [[random_class('a', seed, 40)] for seed in range(5)]
    whole = random_class('a', 9, 200)
    fitted = fit_calibration([whole]).errors['after']['LaECE_0']
    assert cross_fit(folds).summary()['LaECE_0'] > 2 * fitted


def test_class_without_objects_or_without_detections():
    ghosts = matched('ghosts', np.linspace(0.1, 0.4, 30), np.zeros(30), num_gt=0)
    calibration = fit_calibration([random_class('a', 0), ghosts])
    assert calibration.classes['ghosts'].threshold is None
    assert calibration.knots_of('ghosts')(np.array([0.2]))[0] < 2e-3
    with pytest.raises(CalibrationError, match='no detection'):
        fit_calibration([matched('none', [], [], num_gt=3)])
    with pytest.raises(CalibrationError, match='no detection'):
        fit_calibration([])


def test_scores_outside_0_and_1_are_refused():
    c = matched('a', [0.5, 3.0], [0.5, 0.7])
    with pytest.raises(ValueError, match=r"scores in \[0, 1\]; those of 'a'"):
        fit_calibration([c])
    with pytest.raises(ValueError, match="those of 'a' run from -1 to"):
        calibration_report([matched('a', [0.5, -1.0], [0.5, 0.7])])


@pytest.fixture
def written(tmp_path):
    calibration = fit_calibration([random_class('a', 0), FEW, matched('none', [], [], 1)])
    calibration = replace(
        calibration, errors={**calibration.errors, 'cross_fitted': {'LaECE_0': float('nan')}}
    )
    write_calibration(tmp_path / 'made' / 'scores.json', calibration)
    return calibration, tmp_path / 'made' / 'scores.json'


def test_file_gives_the_same_maps(written):
    calibration, path = written
    again = read_calibration(path)
    scores = np.linspace(0, 1, 1001)
    for name in ('a', 'few', 'none', 'never seen'):
        np.testing.assert_allclose(
            again.knots_of(name)(scores), calibration.knots_of(name)(scores), atol=1e-8
        )
    for name, c in calibration.classes.items():
        assert replace(again.classes[name], knots=None) == replace(c, knots=None)
    assert again.errors['before'] == calibration.errors['before']
    assert again.errors['cross_fitted'] == {'LaECE_0': None}
    assert (again.method, again.iou_type) == ('isotonic', 'bbox')


def test_file_is_small_readable_and_a_file_of_thresholds(written):
    calibration, path = written
    lines = path.read_text().splitlines()
    knots = [line for line in lines if '"scores": [ 0.0, ' in line]
    assert len(knots) == 2 and len(lines) < 60 and path.stat().st_size < 5000
    assert [entry.name for entry in path.parent.iterdir()] == ['scores.json']
    thresholds = read_thresholds(path)
    assert thresholds == {name: c.threshold for name, c in calibration.classes.items()}
    assert thresholds['none'] is None and 0 < thresholds['few'] < 1


@pytest.mark.parametrize(
    ('path', 'value', 'message'),
    [
        (['format'], 'thresholds', 'no calibration: write one with tools/calibrate.py'),
        (['version'], 2, 'version 2 of the format'),
        (['classes', 'a', 'ious'], [0.0, 0.7, 0.5], 'never fall'),
        (['classes', 'a', 'ious'], [0.0, 0.7, 1.5], 'in .0, 1.'),
        (['classes', 'a', 'scores'], [0.0, 1.0], 'as many'),
        (['classes', 'a'], [1, 2], 'damaged'),
        (['classes'], None, 'damaged'),
        (['all_classes', 'scores'], 'many', 'damaged'),
        (['detections'], {}, 'damaged'),
    ],
)
def test_file_of_another_kind_or_damaged(written, path, value, message):
    content = json.loads(written[1].read_text())
    entry = content
    for step in path[:-1]:
        entry = entry[step]
    entry[path[-1]] = value
    written[1].write_text(json.dumps(content))
    with pytest.raises(CalibrationError, match=message) as caught:
        read_calibration(written[1])
    assert str(caught.value).startswith(str(written[1])) and '\n' not in str(caught.value)


@pytest.mark.parametrize('content', ['{', '[]', '3', '{"AP": 0.5}'])
def test_file_that_is_none(tmp_path, content):
    (tmp_path / 'x.json').write_text(content)
    with pytest.raises(CalibrationError, match=r'x\.json: '):
        read_calibration(tmp_path / 'x.json')
    with pytest.raises(CalibrationError, match='cannot be read'):
        read_calibration(tmp_path / 'absent.json')
