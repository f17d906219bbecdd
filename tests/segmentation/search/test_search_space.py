"""What samples of a search stand for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmdet_alrp.segmentation.losses import AutoSegLoss, num_parameters
from mmdet_alrp.segmentation.search import SearchSpace

SWITCHES = [(True, True), (True, False), (False, True), (False, False)]
KINDS = [('bezier', 1), ('bezier', 2), ('bezier', 3), ('linear', 2), ('linear', 5)]
TARGETS = ['mIoU', 'BF1', 'gAcc', {'mIoU': 1, 'BF1': 0.5}]
PLACES = torch.linspace(0, 1, 101, dtype=torch.float64)
ROUNDING = 1e-9


def curves_of(space: SearchSpace, sample) -> list:
    return [curve for entry in space.decode(sample).values() for curve in entry.curves]


@pytest.mark.parametrize(
    ('target', 'size'),
    [('mIoU', 12), ('BF1', 24), ('gAcc', 6), ({'mIoU': 1, 'BF1': 0.5, 'gAcc': 2}, 42)],
)
def test_a_sample_holds_theta_of_every_metric(target, size):
    space = SearchSpace(target)
    assert space.size == len(space.start) == size
    sample = [(index + 1) / (size + 1) for index in range(size)]
    found = space.decode(sample)
    assert list(found) == list(space.metric_weights)
    assert [value for entry in found.values() for value in entry.theta] == sample
    assert all(len(entry.theta) == num_parameters(metric) for metric, entry in found.items())


@pytest.mark.parametrize(('kind', 'segments'), KINDS)
@pytest.mark.parametrize(('truth_table', 'monotone'), SWITCHES)
@pytest.mark.parametrize('target', TARGETS)
def test_a_search_starts_at_the_diagonal(target, kind, segments, truth_table, monotone):
    space = SearchSpace(target, kind, segments, truth_table, monotone)
    assert all(0 < value < 1 for value in space.start)
    distance = 1e-12 if truth_table else 0.03
    for curve in curves_of(space, space.start):
        torch.testing.assert_close(curve(PLACES), PLACES, rtol=0, atol=distance)


@pytest.mark.parametrize(('kind', 'segments'), KINDS)
@pytest.mark.parametrize(('truth_table', 'monotone'), SWITCHES)
@settings(max_examples=20, deadline=None)
@given(st.data())
def test_any_sample_keeps_the_constraints_that_are_on(kind, segments, truth_table, monotone, data):
    space = SearchSpace('gAcc', kind, segments, truth_table, monotone)
    numbers = st.floats(0, 1)
    sample = data.draw(st.lists(numbers, min_size=space.size, max_size=space.size))
    (curve,) = curves_of(space, sample)
    values = curve(PLACES)
    # Where a curve ends as steep as it may, 1e4, so much of the rounding is seen.
    assert ((values >= -ROUNDING) & (values <= 1 + ROUNDING)).all()
    if truth_table:
        assert (curve.start, curve.end) == (0, 1)
        assert values[0] == 0 and abs(values[-1] - 1) <= ROUNDING
    if monotone:
        assert (values.diff() >= -ROUNDING).all()


@pytest.mark.parametrize('kind', ['bezier', 'linear'])
def test_each_constraint_can_be_dropped(kind):
    falling = SearchSpace('gAcc', kind, monotone=False)
    numbers = [0.5, 0.95] if kind == 'bezier' else [0.9]
    sample = [*numbers, *[0.05] * (falling.size - len(numbers))]
    assert (curves_of(falling, sample)[0](PLACES).diff() < 0).any()
    loose = SearchSpace('gAcc', kind, truth_table=False)
    (curve,) = curves_of(loose, [0.5] * loose.size)
    assert curve.start > 0.1 and curve.end < 0.99


def test_linear_logits_go_from_minus_3_to_3():
    space = SearchSpace('gAcc', 'linear', 2)
    assert space.decode([0.0, 1.0])['gAcc'].theta == (-3, 3)
    assert space.decode([0.5, 0.75])['gAcc'].theta == (0, 1.5)


@pytest.mark.filterwarnings('ignore:AutoSegLoss. BF1 alone')
@pytest.mark.parametrize('target', TARGETS)
def test_a_loss_takes_what_a_sample_stands_for(target):
    space = SearchSpace(target, 'linear', 3)
    found = space.decode([0.3] * space.size)
    loss = AutoSegLoss(target, theta=found)
    assert loss.parameters_of == found
    assert loss.metric_weights == space.metric_weights


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'target_metric': 'IoU'}, 'target_metric must be one or more of mIoU'),
        ({'target_metric': {}}, 'target_metric must be a metric or a dict'),
        ({'target_metric': 3}, 'target_metric must be a metric or a dict'),
        ({'target_metric': {'mIoU': 0}}, 'weight of mIoU in target_metric must be > 0'),
        ({'parameterization': 'spline'}, 'parameterization must be one of bezier, linear'),
        ({'segments': 0}, 'segments must be a whole number >= 1'),
        ({'segments': 1, 'parameterization': 'linear'}, 'leaves nothing to search'),
        ({'truth_table': 1}, 'truth_table must be True or False'),
        ({'monotone': 'yes'}, 'monotone must be True or False'),
    ],
)
def test_a_wrong_space_is_refused_in_one_line(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        SearchSpace(**{'target_metric': 'mIoU', **options})
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    ('sample', 'message'),
    [
        ([0.5] * 5, 'a sample of this space has 6 numbers, got 5'),
        ([0.5] * 5 + [1.1], r'must be in \[0, 1\]'),
        ([0.5] * 5 + [float('nan')], r'must be in \[0, 1\]'),
    ],
)
def test_a_wrong_sample_is_refused_in_one_line(sample, message):
    with pytest.raises(ValueError, match=message) as caught:
        SearchSpace('gAcc').decode(sample)
    assert '\n' not in str(caught.value)
