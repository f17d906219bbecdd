"""Parameters of a metric's curves, as a search samples them and a loss takes them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

from .surrogate_curves import BezierCurve, Curve, LinearCurve
from .surrogates import SURROGATES

_Points = list[tuple[float, float]]
_DEFAULT_SEGMENTS = {'bezier': 2, 'linear': 5}
_CURVES: dict[str, type[Curve]] = {'bezier': BezierCurve, 'linear': LinearCurve}
_AGREEMENT = 1e-6


@dataclass(frozen=True)
class SurrogateParameters:
    """Parameters of all curves of one metric.

    Args:
        metric: One of mIoU, FWIoU, BIoU, BF1, mAcc, gAcc.
        theta: Parameters as searched, ``num_parameters(...)`` numbers, function after function.
            Bezier: the share of what remains to 1 that each inner control point goes, x then y.
            Linear: logits whose softmax gives the steps between the knots.
        control_points: x, y of the inner control points, function after function, instead of
            ``theta`` or as what follows from it; ends are (0, 0) and (1, 1).
        parameterization: 'bezier' or 'linear'.
        segments: Segments of a curve; None is 2 Bezier or 5 linear ones.
        truth_table: Keep g(0) = 0 and g(1) = 1. Without it ``theta`` holds the two values as well:
            of Bezier segments before and behind the others of a function, of linear ones as further
            steps; they are in [0, 1].
        monotone: Keep curves from falling. Without it the heights, but not the places of control
            points, stand in ``theta`` themselves, in [0, 1].

    Raises:
        ValueError: If any of these is not as said here, in one line.

    Reference:
        Li et al., ICLR 2021, arXiv:2010.07930, Sec. 4.1, 4.2 and Appendix B.
    """

    metric: str
    theta: Sequence[float] | None = None
    control_points: Sequence[float] | None = None
    parameterization: str = 'bezier'
    segments: int | None = None
    truth_table: bool = True
    monotone: bool = True

    def __post_init__(self) -> None:
        """Check everything; lists become tuples of floats."""
        _check_choice('metric', self.metric, SURROGATES)
        _check_choice('parameterization', self.parameterization, _CURVES)
        if self.segments is None:
            object.__setattr__(self, 'segments', _DEFAULT_SEGMENTS[self.parameterization])
        for key in ('truth_table', 'monotone'):
            if not isinstance(getattr(self, key), bool):
                raise ValueError(f'{key} must be True or False, got {getattr(self, key)!r}')
        size = num_parameters(
            self.metric, self.parameterization, self.segments, self.truth_table, self.monotone
        )
        if self.theta is None and self.control_points is None:
            raise ValueError(f'{self.metric} needs theta or control_points')
        if self.theta is not None:
            object.__setattr__(self, 'theta', _numbers('theta', self.theta, size, self))
            if self._bounded and not all(0 <= value <= 1 for value in self.theta):
                raise ValueError(f'theta of {self.parameterization} curves must be in [0, 1]')
        if self.control_points is not None:
            self._check_control_points()

    @property
    def num_curves(self) -> int:
        """How many curves the metric takes."""
        return SURROGATES[self.metric].num_curves

    @property
    def _bounded(self) -> bool:
        return self.parameterization == 'bezier' or not self.monotone

    @cached_property
    def curves(self) -> tuple[Curve, ...]:
        """The curves, in the order in which the surrogate takes them."""
        make = _CURVES[self.parameterization]
        if self.theta is None:
            return tuple(map(make, self._given_points()))
        size = len(self.theta) // self.num_curves
        parts = [self.theta[i * size : (i + 1) * size] for i in range(self.num_curves)]
        points = {'bezier': _bezier_points, 'linear': _linear_points}[self.parameterization]
        return tuple(make(points(part, self.truth_table, self.monotone)) for part in parts)

    def _check_control_points(self) -> None:
        if not self.truth_table:
            raise ValueError('control_points end in (0, 0) and (1, 1): give theta without it')
        size = self.num_curves * 2 * self._inner_points
        values = _numbers('control_points', self.control_points, size, self)
        object.__setattr__(self, 'control_points', values)
        for points in self._given_points():
            rising = [x for x, _ in points], [y for _, y in points] if self.monotone else []
            if not all(a <= b for v in rising for a, b in pairwise(v)):
                raise ValueError(f'control_points must rise from (0, 0) to (1, 1), got {points}')
        if self.theta is not None:
            derived = inner_points(self.curves)
            if any(abs(a - b) > _AGREEMENT for a, b in zip(values, derived, strict=True)):
                raise ValueError('control_points do not follow from theta: leave one of them out')

    @property
    def _inner_points(self) -> int:
        return self.segments * _CURVES[self.parameterization].points_per_segment - 1

    def _given_points(self) -> list[_Points]:
        pairs = list(zip(self.control_points[::2], self.control_points[1::2], strict=True))
        size = self._inner_points
        parts = [pairs[i * size : (i + 1) * size] for i in range(self.num_curves)]
        return [[(0.0, 0.0), *part, (1.0, 1.0)] for part in parts]


def num_parameters(
    metric: str,
    parameterization: str = 'bezier',
    segments: int | None = None,
    truth_table: bool = True,
    monotone: bool = True,
) -> int:
    """Count the numbers in ``theta``.

    Args:
        metric: One of mIoU, FWIoU, BIoU, BF1, mAcc, gAcc.
        parameterization: 'bezier' or 'linear'.
        segments: Segments of a curve; None is 2 Bezier or 5 linear ones.
        truth_table: Keep g(0) = 0 and g(1) = 1; without it ``theta`` holds both values as well.
        monotone: Keep curves from falling.

    Returns:
        The length of ``theta``.

    Raises:
        ValueError: If an argument is none of these.
    """
    _check_choice('metric', metric, SURROGATES)
    _check_choice('parameterization', parameterization, _CURVES)
    segments = _DEFAULT_SEGMENTS[parameterization] if segments is None else segments
    if not isinstance(segments, int) or isinstance(segments, bool) or segments < 1:
        raise ValueError(f'segments must be a whole number >= 1, got {segments!r}')
    if parameterization == 'bezier':
        size = 2 * (2 * segments - 1) + (0 if truth_table else 2)
    else:
        # Steps add up to 1: one more than the free heights, of which the ends may be two.
        size = segments - 1 + (0 if truth_table else 2) + (1 if monotone else 0)
    return SURROGATES[metric].num_curves * size


def segments_of(metric: str, count: int, parameterization: str) -> int | None:
    """Tell from the number of control points' coordinates how many segments a curve has.

    Args:
        metric: One of mIoU, FWIoU, BIoU, BF1, mAcc, gAcc.
        count: Length of ``control_points``.
        parameterization: 'bezier' or 'linear'.

    Returns:
        The segments, at least 1; None if the number fits none.

    Raises:
        ValueError: If ``parameterization`` is unknown.
    """
    _check_choice('parameterization', parameterization, _CURVES)
    points, over = divmod(count, 2 * SURROGATES[metric].num_curves)
    segments, rest = divmod(points + 1, _CURVES[parameterization].points_per_segment)
    return None if over or rest or segments < 1 else segments


def metric_weights(target_metric: str | Mapping[str, float]) -> dict[str, float]:
    """List the metrics of a target with their weights in its sum.

    Args:
        target_metric: A metric, or a dict of metrics with weights > 0.

    Raises:
        ValueError: If it is neither.
    """
    weights = {target_metric: 1.0} if isinstance(target_metric, str) else target_metric
    if not isinstance(weights, Mapping) or not weights:
        raise ValueError(
            f'target_metric must be a metric or a dict of metrics with weights, got {weights!r}'
        )
    for metric, weight in weights.items():
        if metric not in SURROGATES:
            raise ValueError(
                f'target_metric must be one or more of {", ".join(SURROGATES)}, got {metric!r}'
            )
        is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not is_number or not 0 < weight < math.inf:
            raise ValueError(f'weight of {metric} in target_metric must be > 0, got {weight!r}')
    return {metric: float(weight) for metric, weight in weights.items()}


def inner_points(curves: Sequence[Curve]) -> tuple[float, ...]:
    """List x, y of the inner control points of curves, as ``control_points`` does."""
    return tuple(value for curve in curves for point in curve.points[1:-1] for value in point)


def diagonal(metric: str) -> SurrogateParameters:
    """Parameters that leave probabilities as they are: the metric made soft, nothing searched."""
    count = SURROGATES[metric].num_curves
    return SurrogateParameters(metric, control_points=[0.25, 0.25, 0.5, 0.5, 0.75, 0.75] * count)


def _bezier_points(theta: Sequence[float], truth_table: bool, monotone: bool) -> _Points:
    first, last, inner = 0.0, 1.0, theta
    if not truth_table:
        first, *inner, last = theta
    places, heights = _climb(0.0, inner[::2]), list(inner[1::2])
    if monotone:
        heights = _climb(first, heights)
        last = last if truth_table else _climb(heights[-1], [last])[0]
    return [(0.0, first), *zip(places, heights, strict=True), (1.0, last)]


def _climb(start: float, shares: Sequence[float]) -> list[float]:
    """Go the given share of what remains to 1, again and again."""
    return list(accumulate(shares, lambda v, share: v + (1 - v) * share, initial=start))[1:]


def _linear_points(theta: Sequence[float], truth_table: bool, monotone: bool) -> _Points:
    if monotone:
        highest = max(theta)
        steps = [math.exp(value - highest) for value in theta]
        total = math.fsum(steps)
        heights = [min(height / total, 1.0) for height in accumulate(steps)]
        # The last step leads to 1, which is the curve's end only under the truth table.
        heights = [0.0, *heights[:-1], 1.0] if truth_table else heights[:-1]
    else:
        heights = [0.0, *theta, 1.0] if truth_table else list(theta)
    count = len(heights) - 1
    return [(index / count, height) for index, height in enumerate(heights)]


def _check_choice(name: str, value: object, known: Mapping[str, object]) -> None:
    if not isinstance(value, str) or value not in known:
        raise ValueError(f'{name} must be one of {", ".join(known)}, got {value!r}')


def _numbers(name: str, values: object, size: int, owner: SurrogateParameters) -> tuple[float, ...]:
    is_list = isinstance(values, Sequence) and not isinstance(values, str)
    if not is_list or not all(
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values
    ):
        raise ValueError(f'{name} must be a list of finite numbers, got {values!r}')
    if len(values) != size:
        raise ValueError(
            f'{name} of {owner.metric} ({owner.parameterization}, {owner.segments} segments) must '
            f'have {size} numbers, got {len(values)}'
        )
    return tuple(map(float, values))
