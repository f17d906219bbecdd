"""The forms in which Auto Seg-Loss takes the parameters of its curves."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import MODELS
from released_theta import RELEASED
from surrogate_oracle import bezier, region_score

from mmdet_alrp.segmentation.losses import AutoSegLoss, SurrogateParameters, write_parameters

MIOU, BF1 = RELEASED['mIoU'], RELEASED['BF1']


def batch():
    generator = torch.Generator().manual_seed(0)
    pred = torch.randn(2, 4, 8, 10, generator=generator, dtype=torch.float64)
    target = torch.randint(0, 4, (2, 8, 10), generator=generator)
    target[0, :2, :3] = 255
    return pred, target


def points_of(numbers):
    """Control points of each of two curves, with their ends."""
    return [
        [(0, 0), *zip(part[::2], part[1::2], strict=True), (1, 1)]
        for part in (numbers[:6], numbers[6:])
    ]


def test_control_points_are_what_a_released_config_calls_theta():
    pred, target = batch()
    labels = target.masked_fill(target == 255, -1).numpy()
    curves = [bezier(points) for points in points_of(MIOU)]
    weights = np.ones(labels.shape)
    expected = 1 - region_score(pred.softmax(1).numpy(), labels, weights, 'mIoU', curves)
    loss = AutoSegLoss('mIoU', control_points=MIOU)(pred, target)
    assert loss.item() == pytest.approx(expected, abs=1e-12)
    assert loss == AutoSegLoss('mIoU')(pred, target)  # those are published
    # The same numbers as shares of what remains make other curves.
    shares = AutoSegLoss('mIoU', {'theta': MIOU})(pred, target)
    assert abs(shares - loss) > 0.01


@pytest.mark.filterwarnings('ignore:AutoSegLoss. BF1 alone')
@pytest.mark.parametrize(('metric', 'numbers'), [('mIoU', MIOU), ('BF1', BF1)])
def test_a_list_that_may_be_either_is_not_guessed_at(metric, numbers):
    for theta in (numbers, {metric: numbers}, tuple(numbers)):
        with pytest.raises(ValueError, match=r'control_points=\[.*theta=dict\(theta=') as caught:
            AutoSegLoss(metric, theta)
        assert '\n' not in str(caught.value)
    given = AutoSegLoss(metric, control_points=numbers)
    assert given.parameters_of[metric].control_points == tuple(numbers)
    assert given.parameters_of[metric].segments == (2 if metric == 'mIoU' else 1)


@pytest.mark.parametrize('change', [{'parameterization': 'linear'}, {}])
def test_a_list_that_is_no_control_points_is_taken(change):
    numbers = MIOU[:10] if change else MIOU[::-1]
    parameters = AutoSegLoss('mIoU', numbers, **change).parameters_of['mIoU']
    assert parameters.theta == tuple(numbers) and parameters.control_points is None


def test_one_segment_means_the_same_either_way():
    numbers = [0.2, 0.4, 0.7, 0.6]
    shares = AutoSegLoss('mIoU', numbers, segments=1)
    points = AutoSegLoss('mIoU', control_points=numbers)
    for curves in zip(
        *(loss.parameters_of['mIoU'].curves for loss in (shares, points)), strict=True
    ):
        assert curves[0].points == curves[1].points


def test_control_points_of_a_sum_stand_by_metric_beside_other_parameters():
    target = {'mIoU': 1, 'BF1': 1, 'gAcc': 1}
    loss = AutoSegLoss(target, {'gAcc': 'diagonal'}, control_points={'mIoU': MIOU})
    found = loss.parameters_of
    assert found['mIoU'].control_points == tuple(MIOU)
    assert found['gAcc'].control_points == (0.25, 0.25, 0.5, 0.5, 0.75, 0.75)
    assert found['BF1'].control_points == tuple(BF1)  # published


def test_theta_comes_as_a_list_a_file_a_name_a_dict_or_by_itself(tmp_path):
    theta = [0.9 - 0.05 * i for i in range(12)]
    parameters = SurrogateParameters('mIoU', theta)
    path = tmp_path / 'found.json'
    write_parameters(path, parameters)
    pred, target = batch()
    expected = AutoSegLoss('mIoU', theta)(pred, target)
    forms = [str(path), path, parameters, {'theta': theta}, {'mIoU': theta}, tuple(theta)]
    for form in [*forms, ConfigDict(theta=theta)]:
        assert torch.equal(AutoSegLoss('mIoU', form)(pred, target), expected)
    assert torch.equal(
        AutoSegLoss('mIoU', 'voc_miou')(pred, target), AutoSegLoss('mIoU')(pred, target)
    )
    assert not torch.equal(AutoSegLoss('mIoU')(pred, target), expected)
    config = ConfigDict(
        type='AutoSegLoss', target_metric=dict(mIoU=1, BIoU=1), theta=dict(mIoU=theta)
    )
    both = MODELS.build(config)
    assert both.parameters_of['mIoU'].theta == tuple(theta)
    assert both.parameters_of['BIoU'].control_points[1] == 0.984171689


def test_the_kind_of_curve_comes_from_the_file(tmp_path):
    path = tmp_path / 'found.json'
    write_parameters(path, SurrogateParameters('gAcc', [0.1] * 3, None, 'linear', 3))
    loss = AutoSegLoss('gAcc', path)
    assert len(loss.parameters_of['gAcc'].curves[0].points) == 4
    assert AutoSegLoss('gAcc', path, parameterization='linear').parameters_of == loss.parameters_of
    with pytest.raises(ValueError, match="parameterization='bezier', but theta of gAcc has"):
        AutoSegLoss('gAcc', path, parameterization='bezier')
    with pytest.raises(ValueError, match='segments=5, but theta of gAcc has segments=3'):
        AutoSegLoss('gAcc', path, segments=5)


def test_parameters_of_another_metric_are_warned_of():
    with pytest.warns(UserWarning, match='targets FWIoU with parameters searched for mIoU'):
        AutoSegLoss('FWIoU', 'voc_miou')


BAD = [
    ({'theta': 'voc_iou'}, 'one of voc_miou, .*, diagonal; got .voc_iou.'),
    ({'theta': 3}, 'theta must be a list of numbers, a path ending in .json, a dict, or one of'),
    ({'theta': np.ones(12)}, 'theta must be a list of numbers, .*; got ndarray'),
    ({'theta': [0.5] * 5}, r'theta of mIoU \(bezier, 2 segments\) must have 12 numbers, got 5'),
    ({'theta': [0.5] * 12, 'segments': 3}, r'\(bezier, 3 segments\) must have 20 numbers'),
    ({'theta': [0.5] * 12, 'parameterization': 'spline'}, 'must be one of bezier, linear'),
    ({'theta': [2] * 12}, r'theta of bezier curves must be in \[0, 1\]'),
    ({'theta': {'thetas': []}}, "unknown key 'thetas'"),
    ({'theta': {'BIoU': 'voc_biou'}}, "theta is given for 'BIoU', which is not in target_metric"),
    ({'theta': 'voc_gacc'}, 'theta is for gAcc, of 1 curves; mIoU takes 2'),
    (
        {'target_metric': {'mIoU': 1, 'BIoU': 1}, 'theta': [0.5] * 12},
        'theta of several metrics must be a dict with some of mIoU, BIoU',
    ),
    (
        {'target_metric': {'mIoU': 1, 'BIoU': 1}, 'theta': {'mIoU': 'a', 'mAcc': 'b'}},
        "theta is given for 'mAcc', which is not in target_metric",
    ),
    ({'control_points': [0.5] * 5}, r'control_points of mIoU .* must have 12 numbers, got 5'),
    ({'control_points': MIOU[::-1]}, 'control_points must rise from'),
    ({'control_points': {'BF1': BF1}}, "control_points is given for 'BF1', which is not"),
    ({'control_points': MIOU, 'theta': 'voc_miou'}, 'theta and control_points of one metric'),
    (
        {'target_metric': {'mIoU': 1, 'BIoU': 1}, 'control_points': MIOU},
        'control_points of several metrics must be a dict with some of mIoU, BIoU',
    ),
    (
        {
            'target_metric': {'mIoU': 1, 'BIoU': 1},
            'theta': {'mIoU': 'voc_miou'},
            'control_points': {'mIoU': MIOU},
        },
        'theta and control_points of one metric',
    ),
    ({'control_points': MIOU, 'parameterization': 'spline'}, 'must be one of bezier, linear'),
]


@pytest.mark.parametrize(('arguments', 'message'), BAD)
def test_wrong_parameters_are_refused_in_one_line(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        AutoSegLoss(**arguments)
    assert '\n' not in str(caught.value)


def test_a_file_that_is_missing_or_wrong_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no file of surrogate parameters at .*none\.json'):
        AutoSegLoss(theta=tmp_path / 'none.json')
    path = tmp_path / 'bad.json'
    path.write_text(json.dumps({'metric': 'mIoU', 'theta': [1]}))
    with pytest.raises(
        ValueError, match=r'bad\.json: theta of mIoU .* must have 12 numbers, got 1'
    ):
        AutoSegLoss(theta=str(path))
