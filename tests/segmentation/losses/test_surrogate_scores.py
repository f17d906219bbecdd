"""Surrogates against loops over pixels, and against the metrics at one-hot predictions."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from surrogate_oracle import bezier, metric_of_labels, score

from mmdet_alrp.segmentation.evaluation.boundary import boundary_counts, boundary_metrics
from mmdet_alrp.segmentation.losses import SurrogateParameters, num_parameters
from mmdet_alrp.segmentation.losses.surrogate_parameters import diagonal
from mmdet_alrp.segmentation.losses.surrogates import SURROGATES, SoftPrediction

METRICS = list(SURROGATES)
SHAPE = (2, 3, 5, 6)


def draw_labels(rng, num_classes=3):
    """Blocks of labels with every class, and -1 where ignored, in a corner and in a strip."""
    labels = rng.integers(0, num_classes, (2, 3, 3)).repeat(2, 1).repeat(2, 2)[:, :5]
    labels[0, 0, :num_classes] = range(num_classes)
    labels[0, 4, 4:] = -1
    labels[1, :, 3] = -1
    return labels


def bordered_labels():
    """Two objects, each inside an ignored border as in the masks of VOC, and an ignored margin."""
    labels = np.zeros((2, 11, 13), dtype=np.int64)
    labels[0, 1:9, 2:9], labels[0, 3:7, 4:7] = -1, 1
    labels[1, 2:10, 4:12], labels[1, 4:8, 6:10] = -1, 2
    labels[..., :2] = -1
    return labels


def draw_batch(seed, labels=None):
    rng = np.random.default_rng(seed)
    labels = draw_labels(rng) if labels is None else labels
    weights = rng.choice([0.5, 1.0, 2.0], labels.shape)
    logits = rng.normal(scale=2, size=(len(labels), SHAPE[1], *labels.shape[1:]))
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return probs, labels, weights, rng


def soft_prediction(probs, labels, weights=None, **options):
    weights = np.ones(labels.shape) if weights is None else weights
    return SoftPrediction(
        torch.as_tensor(probs, dtype=torch.float64),
        torch.tensor(labels).clamp(min=0),
        torch.tensor(weights * (labels >= 0)),
        **{'tolerance': 1, **options},
    )


def draw_parameters(metric, rng, **options):
    size = num_parameters(metric, **options)
    return SurrogateParameters(metric, rng.uniform(0.05, 0.95, size).tolist(), **options)


@pytest.mark.parametrize('drop', [False, True])
@pytest.mark.parametrize('metric', METRICS)
def test_soft_scores_equal_loops_over_pixels(metric, drop):
    probs, labels, weights, rng = draw_batch(seed=3)
    curves = draw_parameters(metric, rng).curves
    plain = [bezier(curve.points) for curve in curves]
    expected = score(metric, probs, labels, weights, plain, drop=drop)
    soft = soft_prediction(probs, labels, weights, drop_background=drop)
    found = SURROGATES[metric].score(soft, curves)
    assert 0.02 < expected < 0.98
    assert found.item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize('drop', [False, True])
@pytest.mark.parametrize('count', [False, True])
def test_bf1_with_ignored_borders_equals_loops_over_pixels(count, drop):
    probs, labels, weights, rng = draw_batch(seed=4, labels=bordered_labels())
    curves = draw_parameters('BF1', rng).curves
    plain = [bezier(curve.points) for curve in curves]
    options = {'drop_background': drop, 'count_ignored_edges': count}
    found = SURROGATES['BF1'].score(soft_prediction(probs, labels, weights, **options), curves)
    expected, other = (
        score('BF1', probs, labels, weights, plain, drop=drop, count_ignored=counted)
        for counted in (count, not count)
    )
    assert found.item() == pytest.approx(expected, abs=1e-9)
    # Edges that count as wrong can only cost.
    assert (other - expected) * (1 if count else -1) > 0.01


@pytest.mark.parametrize('kind', ['bezier', 'linear'])
@pytest.mark.parametrize('metric', METRICS)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_at_one_hot_predictions_any_theta_gives_the_metric(metric, kind, seed):
    rng = np.random.default_rng(seed)
    labels, predicted = draw_labels(rng), np.abs(draw_labels(rng))
    expected = metric_of_labels(metric, predicted, labels, 3)
    one_hot = np.moveaxis(np.eye(3)[predicted], -1, 1)
    curves = draw_parameters(metric, rng, parameterization=kind).curves
    found = SURROGATES[metric].score(soft_prediction(one_hot, labels), curves)
    assert found.item() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize('drop', [False, True])
@pytest.mark.parametrize('count', [False, True])
@pytest.mark.parametrize('tolerance', [0, 1, 2])
def test_at_one_hot_predictions_the_surrogates_agree_with_the_metrics_of_the_package(
    tolerance, count, drop
):
    rng = np.random.default_rng(tolerance)
    labels, predicted = draw_labels(rng), np.abs(draw_labels(rng))
    one_hot = np.moveaxis(np.eye(3)[predicted], -1, 1)
    options = {'tolerance': tolerance, 'drop_background': drop, 'count_ignored_edges': count}
    soft = soft_prediction(one_hot, labels, **options)
    maps = torch.tensor(predicted), torch.tensor(labels)
    counts = boundary_counts(*maps, 3, ignore_index=-1, **options)
    for metric, expected in boundary_metrics(counts).items():
        found = SURROGATES[metric].score(soft, diagonal(metric).curves)
        assert found.item() == pytest.approx(float(expected), abs=1e-9)


@pytest.mark.parametrize('metric', METRICS)
def test_perfect_one_hot_predictions_score_one(metric):
    labels = draw_labels(np.random.default_rng(0))
    one_hot = np.moveaxis(np.eye(3)[np.abs(labels)], -1, 1)
    found = SURROGATES[metric].score(soft_prediction(one_hot, labels), diagonal(metric).curves)
    # The strip of ignored pixels is predicted as class 1: its edges are no edges of the target.
    assert found.item() == pytest.approx(1.0) if metric != 'BF1' else 0.8 < found.item() <= 1


@pytest.mark.parametrize('metric', ['mIoU', 'FWIoU', 'BIoU', 'mAcc', 'gAcc'])
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_scores_rise_with_ands_and_fall_with_ors(metric, seed):
    probs, labels, weights, rng = draw_batch(seed)
    soft = soft_prediction(probs, labels, weights)
    first = draw_parameters(metric, rng)
    theta = np.array(first.theta)
    heights = np.arange(len(theta)) % 2 == 1
    before = SURROGATES[metric].score(soft, first.curves)
    for index, rises in ((0, True), (1, False))[: first.num_curves]:
        raised = theta.copy()
        here = heights & (np.arange(len(theta)) // 6 == index)
        raised[here] += 0.5 * (1 - raised[here])
        after = SURROGATES[metric].score(soft, SurrogateParameters(metric, raised.tolist()).curves)
        assert (after > before) if rises else (after < before)


@pytest.mark.parametrize('metric', METRICS)
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_scores_are_shares_and_move_with_neither_order_of_images_nor_mirroring(metric, seed):
    probs, labels, weights, rng = draw_batch(seed)
    curves = draw_parameters(metric, rng).curves
    whole = SURROGATES[metric].score(soft_prediction(probs, labels, weights), curves)
    assert 0 <= whole <= 1
    flipped = [np.ascontiguousarray(a[::-1, ..., ::-1]) for a in (probs, labels, weights)]
    torch.testing.assert_close(SURROGATES[metric].score(soft_prediction(*flipped), curves), whole)
    doubled = soft_prediction(probs, labels, 2 * weights)
    if metric != 'BF1':  # ignored pixels with right edges count once whatever the others weigh
        torch.testing.assert_close(SURROGATES[metric].score(doubled, curves), whole)


@pytest.mark.parametrize('metric', METRICS)
def test_gradients_are_derivatives(metric):
    probs, labels, weights, rng = draw_batch(seed=5)
    curves = draw_parameters(metric, rng).curves

    def of_probs(probs):
        soft = soft_prediction(probs, labels, weights)
        return SURROGATES[metric].score(soft, curves)

    values = torch.tensor(probs, requires_grad=True)
    assert torch.autograd.gradcheck(of_probs, values, atol=1e-6)


@pytest.mark.parametrize('metric', ['mIoU', 'mAcc'])
def test_without_the_truth_table_curves_act_on_targets_too(metric):
    probs, labels, weights, rng = draw_batch(seed=7)
    curves = draw_parameters(metric, rng, truth_table=False).curves
    plain = [bezier(curve.points) for curve in curves]
    curve_and, curve_or = plain[0], plain[-1]
    scores = []
    for label in range(3):
        both = either = count = 0.0
        for place in np.ndindex(*labels.shape):
            if labels[place] < 0:
                continue
            truth = float(labels[place] == label)
            prob = probs[place[0], label, place[1], place[2]]
            both += weights[place] * curve_and(prob) * curve_and(truth)
            a, b = curve_or(prob), curve_or(truth)
            either += weights[place] * (a + b - a * b)
            count += weights[place] * truth
        scores.append(both / (either if metric == 'mIoU' else count))
    found = SURROGATES[metric].score(soft_prediction(probs, labels, weights), curves)
    assert found.item() == pytest.approx(np.mean(scores), abs=1e-9)


@pytest.mark.parametrize('metric', METRICS)
def test_an_absent_class_counts_as_missed_except_among_edges(metric):
    labels = np.zeros((1, 4, 6), dtype=np.int64)
    labels[..., 3:] = 1
    one_hot = np.moveaxis(np.eye(3)[labels], -1, 1)
    found = SURROGATES[metric].score(soft_prediction(one_hot, labels), diagonal(metric).curves)
    over_all_classes = metric in ('mIoU', 'BIoU', 'mAcc')
    assert found.item() == pytest.approx(2 / 3 if over_all_classes else 1)


@pytest.mark.parametrize('metric', METRICS)
def test_nothing_to_measure_scores_one_without_gradient(metric):
    boundary = SURROGATES[metric].boundary
    labels = np.zeros((1, 4, 4), dtype=np.int64) if boundary else -np.ones((1, 4, 4), np.int64)
    probs = torch.full((1, 3, 4, 4), 1 / 3, dtype=torch.float64, requires_grad=True)
    soft = SoftPrediction(
        probs, torch.tensor(labels).clamp(min=0), torch.tensor(1.0 * (labels >= 0))
    )
    found = SURROGATES[metric].score(soft, diagonal(metric).curves)
    assert found.item() == 1
    (grad,) = torch.autograd.grad(found, probs)
    assert not grad.any() and grad.isfinite().all()


def test_a_million_pixels_of_one_class_are_added_up_without_loss():
    probs = torch.full((1, 2, 1024, 1024), 0.01)
    probs[:, 0] = 0.99
    targets = torch.ones(1, 1024, 1024, dtype=torch.int64)
    soft = SoftPrediction(probs, targets, torch.ones(1, 1024, 1024))
    found = SURROGATES['mIoU'].score(soft, diagonal('mIoU').curves)
    assert found.item() == pytest.approx(0.01 / 2, rel=1e-5)  # of class 0 nothing is right
