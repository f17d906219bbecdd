"""Find the parameters of each metric, in whichever form a config gives them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from .published import PUBLISHED
from .surrogate_files import parameters_from_dict, read_all_parameters
from .surrogate_parameters import SurrogateParameters, diagonal, segments_of
from .surrogates import SURROGATES

Theta = Sequence[float] | str | os.PathLike[str] | Mapping[str, Any] | SurrogateParameters | None
ControlPoints = Sequence[float] | Mapping[str, Sequence[float]] | None


def parameters_by_metric(
    metrics: Sequence[str],
    theta: Theta = None,
    control_points: ControlPoints = None,
    parameterization: str | None = None,
    segments: int | None = None,
) -> dict[str, SurrogateParameters]:
    """Find the parameters of each metric of a sum.

    Args:
        metrics: Metrics of the sum.
        theta: As :class:`AutoSegLoss`, and so are the others.
        control_points: See there.
        parameterization: See there.
        segments: See there.

    Raises:
        ValueError: If an argument is not as said there, in one line.
        FileNotFoundError: If ``theta`` names a file that does not exist.
    """
    points = _points_by_metric(control_points, metrics)
    rest = [metric for metric in metrics if metric not in points]
    by_metric = isinstance(theta, Mapping) and any(metric in theta for metric in points)
    if theta is not None and (by_metric or not rest):
        raise ValueError('theta and control_points of one metric are given: leave one of them out')
    thetas = _theta_by_metric(theta, rest)
    return {
        metric: _from_points(metric, points[metric], parameterization, segments)
        if metric in points
        else _parameters(metric, thetas.get(metric), parameterization, segments)
        for metric in metrics
    }


def _points_by_metric(points: ControlPoints, metrics: Sequence[str]) -> Mapping[str, Any]:
    if points is None:
        return {}
    if isinstance(points, Mapping):
        _refuse_unused('control_points', points, metrics)
        return points
    if len(metrics) > 1:
        raise ValueError(
            'control_points of several metrics must be a dict with some of '
            f'{", ".join(metrics)}, got {_shown(points)}'
        )
    return dict.fromkeys(metrics, points)


def _theta_by_metric(theta: Theta, metrics: list[str]) -> Mapping[str, Any]:
    """Say which parameters are for which metric, whichever of its forms ``theta`` has."""
    if theta is None:
        return {}
    if isinstance(theta, Mapping) and any(key in SURROGATES for key in theta):
        _refuse_unused('theta', theta, metrics)
        return theta
    if len(metrics) > 1 and _is_file(theta):
        found = read_all_parameters(theta)
        for metric in metrics:
            _check_holds(theta, found, metric)
        return found
    if len(metrics) > 1 and not (isinstance(theta, str) and theta == 'diagonal'):
        raise ValueError(
            f'theta of several metrics must be a dict with some of {", ".join(metrics)}, a json '
            f'file with all of them or diagonal, got {theta!r}'
        )
    return dict.fromkeys(metrics, theta)


def _refuse_unused(name: str, by_metric: Mapping[str, Any], metrics: Sequence[str]) -> None:
    unused = [key for key in by_metric if key not in metrics]
    if unused:
        raise ValueError(
            f'{name} is given for {unused[0]!r}, which is not in target_metric: '
            f'{", ".join(metrics)}'
        )


def _from_points(
    metric: str, points: Sequence[float], parameterization: str | None, segments: int | None
) -> SurrogateParameters:
    kind = parameterization or 'bezier'
    if segments is None and _is_list(points):
        segments = segments_of(metric, len(points), kind)
    return SurrogateParameters(metric, None, points, kind, segments)


def _parameters(
    metric: str, theta: Theta, parameterization: str | None, segments: int | None
) -> SurrogateParameters:
    if _is_list(theta):
        if parameterization in (None, 'bezier'):
            _refuse_control_points(metric, theta, segments)
        return SurrogateParameters(metric, theta, None, parameterization or 'bezier', segments)
    found = _look_up(metric, theta)
    wanted = {'parameterization': parameterization, 'segments': segments}
    for key, value in wanted.items():
        if value not in (None, getattr(found, key)):
            raise ValueError(
                f'{key}={value!r}, but theta of {metric} has {key}={getattr(found, key)!r}: give '
                'one of them, or theta as a list'
            )
    if found.num_curves != SURROGATES[metric].num_curves:
        raise ValueError(
            f'theta is for {found.metric}, of {found.num_curves} curves; {metric} takes '
            f'{SURROGATES[metric].num_curves}'
        )
    if found.metric != metric:
        warnings.warn(
            f'AutoSegLoss targets {metric} with parameters searched for {found.metric}',
            stacklevel=4,
        )
    return found


def _refuse_control_points(metric: str, theta: Sequence[float], segments: int | None) -> None:
    """Refuse a list that may be either kind of number: the curves would differ in silence."""
    count = segments_of(metric, len(theta), 'bezier')
    # One segment has one inner point, whose shares of what remains are the point itself.
    if count is None or segments == 1 or segments not in (None, count):
        return
    try:
        SurrogateParameters(metric, control_points=theta, segments=count)
    except ValueError:
        return
    raise ValueError(
        f'theta=[...] of {metric} may be control points, as released configs list them, or shares '
        'of what remains to 1, as a search here finds them: give control_points=[...] for the '
        'points x, y, or theta=dict(theta=[...]) for the shares (of a sum in a dict by metric)'
    )


def _look_up(metric: str, theta: Theta) -> SurrogateParameters:
    """Find parameters that are given by default, name, file, dict or as they are."""
    name = f'voc_{metric.lower()}' if theta is None else theta
    if isinstance(name, SurrogateParameters):
        return name
    if isinstance(name, Mapping):
        return parameters_from_dict({'metric': metric, **name})
    if _is_file(name):
        found = read_all_parameters(name)
        if len(found) == 1:
            # Maybe of another metric with as many curves.
            return next(iter(found.values()))
        _check_holds(name, found, metric)
        return found[metric]
    if isinstance(name, str) and name == 'diagonal':
        return diagonal(metric)
    if not isinstance(name, str) or name not in PUBLISHED:
        raise ValueError(
            'theta must be a list of numbers, a path ending in .json, a dict, or one of '
            f'{", ".join(PUBLISHED)}, diagonal; got {_shown(name)}'
        )
    return PUBLISHED[name]


def _is_list(value: object) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _is_file(theta: object) -> bool:
    return isinstance(theta, os.PathLike) or (isinstance(theta, str) and theta.endswith('.json'))


def _check_holds(
    path: str | os.PathLike[str], found: Mapping[str, SurrogateParameters], metric: str
) -> None:
    if metric not in found:
        raise ValueError(
            f'{path} holds parameters of {" and ".join(found)}, not of {metric}: search for '
            f'{metric} too, or give theta as a dict by metric'
        )


def _shown(value: object) -> str:
    """What a user gave, in one line; of an array its type says what is wrong."""
    return repr(value) if isinstance(value, str) else type(value).__name__
