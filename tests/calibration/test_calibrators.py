import sys

import numpy as np
import pytest

from mmdet_alrp.calibration import METHODS, Knots, fit_knots
from mmdet_alrp.calibration.calibrators import TILT

GRID = np.linspace(0, 1, 4001)


def pairs(seed, num=150, digits=None):
    rng = np.random.default_rng(seed)
    scores = rng.uniform(0.02, 0.4, num)
    scores = scores if digits is None else scores.round(digits)
    return scores, np.clip(2 * scores + rng.normal(0, 0.3, num), 0, 1)


def pooled(scores, ious):
    """Isotonic regression by pooling neighbours that fall; {score: value}. Plain loops."""
    blocks = []  # [sum, weight, scores]
    for score in sorted(set(scores)):
        own = [iou for s, iou in zip(scores, ious, strict=True) if s == score]
        blocks.append([sum(own), len(own), [score]])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] >= blocks[-1][0] / blocks[-1][1]:
            total, weight, members = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += weight
            blocks[-1][2] += members
    return {score: total / weight for total, weight, members in blocks for score in members}


@pytest.mark.parametrize('digits', [None, 2], ids=['distinct', 'tied'])
@pytest.mark.parametrize('seed', range(3))
def test_isotonic_agrees_with_pooling_by_loops(seed, digits):
    scores, ious = pairs(seed, digits=digits)
    knots = fit_knots(scores, ious, 'isotonic')
    expected = pooled(scores.tolist(), ious.tolist())
    got = knots(np.array(list(expected)))
    np.testing.assert_allclose(got, list(expected.values()), atol=TILT / 2 + 1e-6)
    lowest, highest = scores.min(), scores.max()
    assert knots(np.array([lowest / 2]))[0] == pytest.approx(knots(lowest) / 2, abs=TILT)
    assert knots(np.array([1.0]))[0] == pytest.approx(knots(highest), abs=TILT)


def mean_entropy(values, targets):
    return (np.logaddexp(0, values) - targets * values).mean()


def logit(p):
    return np.log(p / (1 - p))


@pytest.mark.parametrize(
    ('method', 'factor', 'offset'), [('platt', 0.6, 1.5), ('temperature', 2, 0)]
)
def test_sigmoids_are_found_again(method, factor, offset):
    scores, _ = pairs(0)
    exact = 1 / (1 + np.exp(-(factor * logit(scores) + offset)))
    knots = fit_knots(scores, exact, method)
    np.testing.assert_allclose(knots(scores), exact, atol=1e-3)


@pytest.mark.parametrize('method', ['platt', 'temperature'])
def test_sigmoids_have_the_least_cross_entropy(method):
    scores, ious = pairs(1)
    fitted = logit(np.clip(fit_knots(scores, ious, method)(scores), 1e-6, 1 - 1e-6))
    least = mean_entropy(fitted, ious)
    offsets = np.linspace(-5, 5, 41) if method == 'platt' else [0.0]
    for factor in np.linspace(0, 4, 41):
        for offset in offsets:
            assert least <= mean_entropy(factor * logit(scores) + offset, ious) + 1e-5


def test_linear_is_the_least_squares_line_clipped():
    scores, ious = pairs(2)
    slope, offset = np.polyfit(scores, ious, 1)
    got = fit_knots(scores, ious, 'linear')(GRID)
    np.testing.assert_allclose(got, np.clip(slope * GRID + offset, 0, 1), atol=TILT)


@pytest.mark.parametrize(
    ('method', 'expected'),
    [('isotonic', 0.5), ('linear', 0.5), ('platt', 0.5), ('temperature', 0.5)],
)
def test_scores_that_order_the_wrong_way_tell_the_mean_at_most(method, expected):
    scores = np.linspace(0.1, 0.9, 50)
    got = fit_knots(scores, 1 - scores, method)(scores)
    np.testing.assert_allclose(got, expected, atol=2 * TILT)


CASES = {
    'usual': pairs(3),
    'tied': pairs(4, digits=1),
    'nothing found': (pairs(5)[0], np.zeros(150)),
    'all perfect': (pairs(6)[0], np.ones(150)),
    'one detection': (np.array([0.3]), np.array([0.8])),
    'one score': (np.full(9, 0.3), np.linspace(0, 1, 9)),
    'ends': (np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 0.2, 0.9, 1.0])),
}


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('case', CASES)
def test_every_map_rises_strictly_within_0_and_1(method, case):
    knots = fit_knots(*CASES[case], method)
    assert knots.scores[0] == 0 and knots.scores[-1] == 1
    assert (np.diff(knots.scores) > 0).all() and (np.diff(knots.ious) > 0).all()
    assert knots.ious[0] >= 0 and knots.ious[-1] <= 1
    assert (np.diff(knots(GRID)) > 0).all()


def test_map_between_knots_is_linear():
    knots = Knots(np.array([0.0, 0.2, 1.0]), np.array([0.0, 0.6, 0.8]))
    np.testing.assert_allclose(knots(np.array([0.1, 0.2, 0.6])), [0.3, 0.6, 0.7])


def test_unknown_method_names_the_known_ones():
    with pytest.raises(ValueError, match='isotonic, platt, linear, temperature'):
        fit_knots(*pairs(0), 'spline')


def test_only_isotonic_needs_scikit_learn(monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn', None)
    for method in METHODS:
        if method != 'isotonic':
            fit_knots(*pairs(0), method)
    with pytest.raises(ModuleNotFoundError, match='scikit-learn'):
        fit_knots(*pairs(0))
