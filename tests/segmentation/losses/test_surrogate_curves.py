"""Curves against bisection, at their joints and where control points coincide."""

import math

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from surrogate_oracle import bezier

from mmdet_alrp.segmentation.losses import PUBLISHED, SurrogateParameters
from mmdet_alrp.segmentation.losses.surrogate_curves import BezierCurve, LinearCurve, in_blocks

EQUAL = [(0, 0), (0.25, 0.6), (0.5, 0.7), (0.75, 0.75), (1, 1)]
STEEP = [(0, 0), (5.7e-4, 0.64), (0.34, 0.71), (0.63, 0.78), (1, 1)]
UNIT = st.floats(0, 1, allow_subnormal=False)


def grid(dtype=torch.float64, size=201):
    return torch.linspace(0, 1, size, dtype=dtype)


def value_and_slope(curve, values):
    values = values.clone().requires_grad_()
    result = curve(values)
    return result.detach(), torch.autograd.grad(result.sum(), values)[0]


@pytest.mark.parametrize('points', [EQUAL, STEEP, EQUAL[::2]])
def test_bezier_curves_equal_bisection_in_every_segment(points):
    curve, expected = BezierCurve(points), bezier(points)
    heights = torch.tensor([expected(x) for x in grid().tolist()], dtype=torch.float64)
    torch.testing.assert_close(curve(grid()), heights, rtol=0, atol=1e-9)


def test_coinciding_control_points_are_moved_apart_by_little():
    points = [*EQUAL[:3], EQUAL[2], EQUAL[4]]
    expected = torch.tensor([bezier(points)(x) for x in grid().tolist()], dtype=torch.float64)
    heights, slopes = value_and_slope(BezierCurve(points), grid())
    torch.testing.assert_close(heights, expected, rtol=0, atol=1e-3)
    assert slopes.isfinite().all()


def test_equally_spaced_control_points_on_the_diagonal_change_nothing():
    count = 4
    diagonal = [(i / count, i / count) for i in range(count + 1)]
    for curve in (BezierCurve(diagonal), LinearCurve(diagonal)):
        values, slopes = value_and_slope(curve, grid())
        torch.testing.assert_close(values, grid())
        torch.testing.assert_close(slopes, torch.ones_like(slopes))


def test_a_bezier_segment_that_is_nearly_equally_spaced_loses_no_digits():
    for shift in (0.0, 1e-12, 1e-8, 1e-5):
        points = [(0, 0), (0.5 + shift, 0.8), (1, 1)]
        expected = torch.tensor([bezier(points)(x) for x in grid().tolist()], dtype=torch.float64)
        torch.testing.assert_close(BezierCurve(points)(grid()), expected, rtol=0, atol=1e-12)
        single = BezierCurve(points)(grid(torch.float32))
        torch.testing.assert_close(single.double(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize('points', [EQUAL, STEEP])
def test_slopes_at_the_ends_of_segments_are_those_of_the_control_polygon(points, dtype):
    _, slopes = value_and_slope(
        BezierCurve(points), torch.tensor([0, points[2][0], 1], dtype=dtype)
    )
    # At a joint the left segment counts.
    sides = [(points[0], points[1]), (points[1], points[2]), (points[3], points[4])]
    expected = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in sides]
    torch.testing.assert_close(slopes, torch.tensor(expected, dtype=dtype), rtol=1e-3, atol=0)


@settings(max_examples=60, deadline=None)
@given(st.lists(UNIT, min_size=6, max_size=6), st.sampled_from([torch.float32, torch.float64]))
@example([0.96875, 0, 0.5, 0, 1, 1], torch.float32)
def test_any_theta_gives_a_monotone_curve_from_0_to_1_with_finite_slopes(theta, dtype):
    (curve,) = SurrogateParameters('gAcc', theta).curves
    values = torch.cat([grid(dtype), torch.tensor([p[0] for p in curve.points], dtype=dtype)])
    heights, slopes = value_and_slope(curve, values.sort().values)
    # Rounding of x times the steepest slope.
    tolerance = 1e-3 if dtype == torch.float32 else 1e-11
    assert heights[0] == 0 and abs(heights[-1] - 1) <= tolerance
    assert (heights.diff() >= -tolerance).all()
    assert (slopes >= -10 * tolerance).all() and (slopes <= 2.5e4).all()


@pytest.mark.parametrize('theta', [[0.0] * 6, [1.0] * 6, [0, 1] * 3, [1, 0] * 3])
def test_theta_in_a_corner_keeps_the_truth_table(theta):
    (curve,) = SurrogateParameters('gAcc', theta).curves
    for dtype in (torch.float32, torch.float64):
        heights, slopes = value_and_slope(curve, grid(dtype))
        assert heights[0] == 0
        assert abs(heights[-1] - 1) <= (1e-3 if dtype == torch.float32 else 1e-11)
        assert slopes.isfinite().all()


def test_linear_curves_interpolate_their_knots():
    (curve,) = SurrogateParameters('gAcc', [0.3, -1, 2, 0, 0.5], None, 'linear').curves
    steps = np.exp([0.3, -1, 2, 0, 0.5])
    knots = np.concatenate([[0], np.cumsum(steps / steps.sum())])
    expected = np.interp(grid().numpy(), np.arange(6) / 5, knots)
    heights, slopes = value_and_slope(curve, grid())
    np.testing.assert_allclose(heights.numpy(), expected, atol=1e-12)
    torch.testing.assert_close(slopes[10], torch.tensor(5 * knots[1]))


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_curves_rise_from_0_to_1(name):
    for curve in PUBLISHED[name].curves:
        assert curve.points[0] == (0, 0) and curve.points[-1] == (1, 1)
        for dtype in (torch.float32, torch.float64):
            heights = curve(grid(dtype, 1001))
            assert (heights.diff() > 0).all()
            assert heights[0] == 0 and math.isclose(heights[-1], 1, abs_tol=1e-6)


@pytest.mark.parametrize('curve', [BezierCurve(EQUAL), BezierCurve(STEEP), LinearCurve(EQUAL)])
def test_slopes_are_derivatives_between_the_joints(curve):
    values = torch.rand(40, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    joints = torch.tensor([p[0] for p in curve.points], dtype=torch.float64)
    inside = ((values[:, None] - joints).abs() > 1e-4).all(1)
    assert torch.autograd.gradcheck(curve, values[inside].requires_grad_())


def test_blocks_change_neither_values_nor_gradients(monkeypatch):
    x, y = (torch.rand(3, 7, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    curve = BezierCurve(STEEP)

    def function(x, y):
        return curve(x) * y + x

    whole = function(x, y)
    grads = torch.autograd.grad(whole.square().sum(), (x, y))
    monkeypatch.setattr('mmdet_alrp.segmentation.losses.surrogate_curves._BLOCK', 4)
    blocks = in_blocks(function, x, y)
    torch.testing.assert_close(blocks, whole)
    torch.testing.assert_close(torch.autograd.grad(blocks.square().sum(), (x, y)), grads)


def test_layouts_and_odd_shapes_are_taken_as_they_come(device):
    curve = BezierCurve(STEEP)
    values = torch.rand(2, 3, 4, 5, device=device)
    last = values.to(memory_format=torch.channels_last)
    torch.testing.assert_close(curve(last), curve(values))
    assert curve(values[:0]).shape == (0, 3, 4, 5)
    assert curve(values[0, 0, 0, 0]).shape == ()
    assert curve(values.new_tensor([math.nan])).isnan().all()


@pytest.mark.parametrize(
    ('points', 'message'),
    [
        ([(0, 0), (0.5, 0.5), (0.4, 0.6), (0.7, 0.8), (1, 1)], 'must rise from 0 to 1'),
        ([(0, 0), (0.5, 0.5), (0.9, 1)], 'must rise from 0 to 1'),
        ([(0, 0), (0.5, 0.5), (0.6, 0.6), (1, 1)], 'no whole number of segments'),
        ([(0, 0)], 'no whole number of segments'),
    ],
)
def test_points_that_make_no_curve_are_refused(points, message):
    with pytest.raises(ValueError, match=message):
        BezierCurve(points)


def test_second_derivatives_are_refused():
    values = torch.rand(5, requires_grad=True)
    for result in (BezierCurve(EQUAL)(values), in_blocks(torch.square, values)):
        with pytest.raises(RuntimeError, match='no second derivative'):
            torch.autograd.grad(result.sum(), values, create_graph=True)
