"""Parameters of curves: counts, constraints, files."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from released_theta import RELEASED

from mmdet_alrp.segmentation.losses import (
    PUBLISHED,
    AutoSegLoss,
    SurrogateParameters,
    num_parameters,
    parameters_to_dict,
    read_all_parameters,
    read_parameters,
    write_parameters,
)
from mmdet_alrp.segmentation.losses.surrogate_parameters import diagonal, inner_points

NUM_CURVES = {'mIoU': 2, 'FWIoU': 2, 'BIoU': 2, 'BF1': 4, 'mAcc': 1, 'gAcc': 1}
SWITCHES = [(True, True), (True, False), (False, True), (False, False)]
KINDS = [('bezier', 1), ('bezier', 2), ('bezier', 3), ('linear', 1), ('linear', 2), ('linear', 5)]


@pytest.mark.parametrize(('metric', 'num_curves'), NUM_CURVES.items())
def test_a_metric_takes_the_parameters_of_its_functions(metric, num_curves):
    assert num_parameters(metric) == 6 * num_curves
    assert num_parameters(metric, segments=3) == 10 * num_curves
    assert num_parameters(metric, 'linear') == 5 * num_curves
    parameters = SurrogateParameters(metric, [0.5] * num_parameters(metric))
    assert len(parameters.curves) == num_curves == parameters.num_curves


def test_theta_is_the_share_of_what_remains_x_then_y_point_after_point():
    theta = [0.5, 0.25, 0.5, 0.5, 0.25, 0.5]
    (curve,) = SurrogateParameters('gAcc', theta).curves
    assert curve.points == ((0, 0), (0.5, 0.25), (0.75, 0.625), (0.8125, 0.8125), (1, 1))


def test_functions_stand_one_after_the_other():
    first, second = [0.1] * 6, [0.9] * 6
    curves = SurrogateParameters('mIoU', first + second).curves
    assert curves[0].points == SurrogateParameters('gAcc', first).curves[0].points
    assert curves[1].points == SurrogateParameters('gAcc', second).curves[0].points


@pytest.mark.parametrize(('kind', 'segments'), KINDS)
@pytest.mark.parametrize(('truth_table', 'monotone'), SWITCHES)
@settings(max_examples=15, deadline=None)
@given(st.data())
def test_constraints_hold_just_where_they_are_switched_on(
    kind, segments, truth_table, monotone, data
):
    options = (kind, segments, truth_table, monotone)
    size = num_parameters('gAcc', *options)
    theta = data.draw(st.lists(st.floats(0, 1), min_size=size, max_size=size))
    (curve,) = SurrogateParameters('gAcc', theta, None, *options).curves
    heights = [y for _, y in curve.points]
    assert len(curve.points) == segments * (2 if kind == 'bezier' else 1) + 1
    assert all(0 <= y <= 1 for y in heights)
    if truth_table:
        assert (curve.start, curve.end) == (0, 1)
    if monotone:
        assert heights == sorted(heights)


def test_without_constraints_ends_are_free_and_curves_may_fall():
    free = SurrogateParameters('gAcc', [0.9, 0.1], None, 'linear', 1, False, False).curves[0]
    assert free.points == ((0, 0.9), (1, 0.1))
    theta = [0.5, 0.9, 0.5, 0.2, 0.5, 0.4]
    falling = SurrogateParameters('gAcc', theta, monotone=False).curves[0]
    assert [y for _, y in falling.points] == [0, 0.9, 0.2, 0.4, 1]
    ends = SurrogateParameters('gAcc', [0.3, *theta, 0.5], truth_table=False).curves[0]
    assert ends.start == 0.3 and 0.3 < ends.end < 1


def test_published_parameters_have_all_released_digits():
    for metric, numbers in RELEASED.items():
        assert list(inner_points(PUBLISHED[f'voc_{metric.lower()}'].curves)) == numbers
    assert set(PUBLISHED) == {f'voc_{metric.lower()}' for metric in NUM_CURVES}


@pytest.mark.parametrize(('kind', 'segments'), KINDS)
@pytest.mark.parametrize(('truth_table', 'monotone'), SWITCHES)
def test_a_file_gives_back_what_was_written(kind, segments, truth_table, monotone, tmp_path):
    options = (kind, segments, truth_table, monotone)
    size = num_parameters('mIoU', *options)
    written = SurrogateParameters('mIoU', [i / (size + 1) for i in range(size)], None, *options)
    path = tmp_path / 'found.json'
    write_parameters(path, written, info={'reward': 0.5})
    read = read_parameters(path)
    assert read.theta == written.theta
    assert [c.points for c in read.curves] == [c.points for c in written.curves]
    content = json.loads(path.read_text())
    assert content['metric'] == 'mIoU' and content['info'] == {'reward': 0.5}
    assert ('control_points' in content) is truth_table
    assert [entry.name for entry in tmp_path.iterdir()] == ['found.json']


SEVERAL = {
    'mIoU': SurrogateParameters('mIoU', [0.3] * 12),
    'BF1': SurrogateParameters('BF1', [0.4] * 8, segments=1),
}


def test_a_file_holds_the_parameters_of_several_metrics(tmp_path):
    path = tmp_path / 'found.json'
    write_parameters(path, SEVERAL, info={'reward': 0.5})
    content = json.loads(path.read_text())
    assert list(content) == ['mIoU', 'BF1', 'info']
    read = read_all_parameters(path)
    assert {metric: entry.theta for metric, entry in read.items()} == {
        metric: entry.theta for metric, entry in SEVERAL.items()
    }
    with pytest.raises(ValueError, match=r'found\.json holds parameters of mIoU and BF1: expected'):
        read_parameters(path)


def test_a_file_of_one_metric_has_one_form_and_both_are_read(tmp_path):
    flat, nested = tmp_path / 'flat.json', tmp_path / 'nested.json'
    write_parameters(flat, {'BF1': SEVERAL['BF1']})
    assert json.loads(flat.read_text())['metric'] == 'BF1'
    nested.write_text(json.dumps({'BF1': {'theta': [0.4] * 8, 'segments': 1}}))
    for path in (flat, nested):
        assert read_parameters(path).theta == SEVERAL['BF1'].theta
        assert list(read_all_parameters(path)) == ['BF1']


@pytest.mark.parametrize('wrong', [{}, {'BF1': SEVERAL['mIoU']}])
def test_parameters_are_written_under_their_own_metric_only(wrong, tmp_path):
    with pytest.raises(ValueError, match='parameters must stand under their metrics'):
        write_parameters(tmp_path / 'found.json', wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        ({'mIoU': {'theta': [0.3] * 12}, 'F1': {}}, "unknown key 'F1' beside metrics; known are"),
        ({'mIoU': [0.3] * 12}, 'expected an object with parameters of mIoU'),
        ({'mIoU': {'metric': 'BF1', 'theta': [0.3] * 24}}, 'expected an object with parameters of'),
        ({'mIoU': {'theta': [0.3] * 11}}, 'theta of mIoU .* must have 12 numbers, got 11'),
    ],
)
def test_a_mistake_in_a_file_of_several_metrics_is_named_in_one_line(content, message, tmp_path):
    path = tmp_path / 'bad.json'
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as caught:
        read_all_parameters(path)
    assert str(path) in str(caught.value) and '\n' not in str(caught.value)


def test_a_loss_takes_those_of_its_metrics_from_a_file(tmp_path):
    path = tmp_path / 'found.json'
    write_parameters(path, SEVERAL)
    both = AutoSegLoss({'BF1': 0.5, 'mIoU': 1}, theta=str(path))
    assert {metric: entry.theta for metric, entry in both.parameters_of.items()} == {
        metric: entry.theta for metric, entry in SEVERAL.items()
    }
    assert AutoSegLoss('mIoU', theta=path).parameters_of['mIoU'].theta == (0.3,) * 12
    mixed = AutoSegLoss({'BIoU': 1, 'mIoU': 1}, theta={'mIoU': path, 'BIoU': 'diagonal'})
    assert mixed.parameters_of['mIoU'].theta == (0.3,) * 12
    contents = {metric: parameters_to_dict(entry) for metric, entry in SEVERAL.items()}
    assert AutoSegLoss({'mIoU': 1, 'BF1': 1}, theta=contents).parameters_of == both.parameters_of


@pytest.mark.parametrize('target', ['FWIoU', {'mIoU': 1, 'FWIoU': 1}])
def test_a_metric_that_a_file_leaves_out_is_named_in_one_line(target, tmp_path):
    path = tmp_path / 'found.json'
    write_parameters(path, SEVERAL)
    with pytest.raises(ValueError, match=r'found\.json holds parameters of mIoU and BF1, not') as e:
        AutoSegLoss(target, theta=path)
    assert '\n' not in str(e.value)
    write_parameters(path, SEVERAL['mIoU'])
    with pytest.raises(ValueError, match='holds parameters of mIoU, not of BF1'):
        AutoSegLoss({'mIoU': 1, 'BF1': 1}, theta=path)


def test_a_file_that_cannot_be_written_leaves_the_old_one_and_no_draft(tmp_path):
    path = tmp_path / 'found.json'
    write_parameters(path, diagonal('gAcc'))
    before = path.read_text()
    with pytest.raises(TypeError):
        write_parameters(path, PUBLISHED['voc_gacc'], info={'reward': object()})
    assert path.read_text() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ['found.json']


def test_control_points_alone_make_the_same_curves():
    searched = SurrogateParameters('mIoU', [0.3] * 12)
    given_points = SurrogateParameters('mIoU', control_points=inner_points(searched.curves))
    assert [c.points for c in given_points.curves] == [c.points for c in searched.curves]


BAD = [
    ({'theta': [0.5] * 12}, "key 'metric' is missing"),
    ({'metric': 'IoU', 'theta': [0.5] * 12}, 'metric must be one of mIoU, .* got .IoU.'),
    ({'metric': ['mIoU'], 'theta': [0.5] * 12}, 'metric must be one of'),
    ({'metric': 'mIoU'}, 'mIoU needs theta or control_points'),
    ({'metric': 'mIoU', 'theta': [0.5] * 11}, r'theta of mIoU .* must have 12 numbers, got 11'),
    ({'metric': 'mIoU', 'theta': 0.5}, 'theta must be a list of finite numbers'),
    ({'metric': 'mIoU', 'theta': 'a' * 12}, 'theta must be a list of finite numbers'),
    ({'metric': 'gAcc', 'theta': [0.5] * 5 + [None]}, 'theta must be a list of finite numbers'),
    ({'metric': 'gAcc', 'theta': [0.5] * 5 + [True]}, 'theta must be a list of finite numbers'),
    ({'metric': 'gAcc', 'theta': [0.5] * 5 + [float('nan')]}, 'must be a list of finite numbers'),
    ({'metric': 'gAcc', 'theta': [0.5] * 5 + [1.5]}, r'theta of bezier curves must be in \[0, 1\]'),
    ({'metric': 'gAcc', 'theta': [0.5] * 6, 'segments': 0}, 'segments must be a whole number >= 1'),
    ({'metric': 'gAcc', 'theta': [0.5] * 6, 'segments': 2.5}, 'segments must be a whole number'),
    ({'metric': 'gAcc', 'theta': [0.5] * 6, 'parameterization': 'x'}, 'must be one of bezier'),
    ({'metric': 'gAcc', 'theta': [0.5] * 6, 'monotone': 1}, 'monotone must be True or False'),
    ({'metric': 'gAcc', 'theta': [0.5] * 6, 'thetas': 1}, "unknown key 'thetas'; known are metric"),
    ({'metric': 'gAcc', 'control_points': [0.5] * 5}, 'control_points .* must have 6 numbers'),
    ({'metric': 'gAcc', 'control_points': [0.5, 0.5, 0.4, 0.6, 0.7, 0.8]}, 'must rise from'),
    ({'metric': 'gAcc', 'control_points': [0.5, 0.5, 0.6, 0.4, 0.7, 0.8]}, 'must rise from'),
    ({'metric': 'gAcc', 'control_points': [0.1, 0.2, 0.5, 0.5, 0.7, 1.8]}, 'must rise from'),
    (
        {'metric': 'gAcc', 'theta': [0.5] * 6, 'control_points': [0.1, 0.2] * 3},
        'control_points do not follow from theta',
    ),
    (
        {'metric': 'gAcc', 'control_points': [0.1, 0.2] * 3, 'truth_table': False},
        'give theta without it',
    ),
    ([0.5] * 12, 'expected an object with metric, theta'),
]


@pytest.mark.parametrize(('content', 'message'), BAD)
def test_a_file_with_a_mistake_is_refused_in_one_line_that_names_it(content, message, tmp_path):
    path = tmp_path / 'bad.json'
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=message) as caught:
        read_parameters(path)
    assert str(path) in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize('text', ['', '{"metric": "mIoU"', '\x00'])
def test_a_file_that_is_no_json_is_refused_in_one_line(text, tmp_path):
    path = tmp_path / 'half.json'
    path.write_text(text)
    with pytest.raises(ValueError, match=r'half\.json is no json file') as caught:
        read_parameters(path)
    assert '\n' not in str(caught.value)
    with pytest.raises(FileNotFoundError, match='there is no file of surrogate parameters at'):
        read_parameters(tmp_path / 'none.json')
