import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lrp_oracle import best_of, lrp_by_threshold, rho_of

from mmdet_alrp.evaluation.lrp_curve import (
    ClassMatches,
    lrp_curve,
    optimal_lrp,
    rank_correlation,
)

rows_of_a_class = st.lists(
    st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.9]), st.booleans(), st.floats(0.5, 1.0)),
    max_size=20,
)


def matches_of(rows, num_gt):
    rows = sorted(rows, key=lambda row: -row[0])
    scores, is_tp, ious = (np.array([row[i] for row in rows], dtype=float) for i in range(3))
    is_tp = is_tp.astype(bool)
    return ClassMatches(scores, is_tp, np.where(is_tp, ious, 0), np.arange(len(rows)), num_gt)


@given(rows_of_a_class, st.integers(1, 5))
def test_curve_and_optimum_follow_the_definition(rows, num_missed):
    num_gt = sum(is_tp for _, is_tp, _ in rows) + num_missed
    curve = lrp_curve(matches_of(rows, num_gt), tau=0.5)
    table = lrp_by_threshold(rows, num_gt, tau=0.5)
    assert curve.thresholds.tolist() == sorted(table, reverse=True)
    assert curve.lrp.tolist() == pytest.approx([table[thr][0] for thr in curve.thresholds])
    best = optimal_lrp(curve)
    assert best.olrp == pytest.approx(best_of(rows, num_gt, 0.5)[0])
    assert best.olrp <= 1 + 1e-12
    if not math.isnan(best.threshold):
        at_threshold = table[best.threshold]
        assert (best.loc, best.fp, best.fn) == pytest.approx(at_threshold[1:], abs=1e-12)


def test_precision_and_recall():
    curve = lrp_curve(matches_of([(0.9, True, 0.8), (0.8, False, 0), (0.8, True, 0.6)], 4), 0.5)
    assert curve.precision.tolist() == pytest.approx([1, 2 / 3])
    assert curve.recall.tolist() == pytest.approx([0.25, 0.5])


@given(rows_of_a_class)
def test_rank_correlation_follows_the_definition(rows):
    matches = matches_of(rows, 20)
    got = rank_correlation(matches.scores[matches.is_tp], matches.ious[matches.is_tp])
    assert got == pytest.approx(rho_of(rows), abs=1e-9, nan_ok=True)


@pytest.mark.parametrize(
    ('scores', 'ious', 'rho'),
    [
        ([0.9, 0.8, 0.7], [0.9, 0.7, 0.6], 1.0),
        ([0.9, 0.8, 0.7], [0.6, 0.7, 0.9], -1.0),
        ([0.9, 0.8, 0.7], [0.7, 0.9, 0.6], 0.5),
        ([0.9, 0.9, 0.7], [0.9, 0.8, 0.6], math.sqrt(3) / 2),
        ([0.9], [0.9], math.nan),
        ([], [], math.nan),
        ([0.5, 0.5], [0.6, 0.7], math.nan),
    ],
)
def test_rank_correlation_golden(scores, ious, rho):
    got = rank_correlation(np.array(scores), np.array(ious))
    assert got == pytest.approx(rho, nan_ok=True)
