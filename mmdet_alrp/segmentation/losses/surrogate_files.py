"""Files of surrogate parameters: what a search writes and ``AutoSegLoss(theta=path)`` reads.

A file is one json object::

    {"metric": "mIoU", "parameterization": "bezier", "segments": 2, "theta": [0.1, 0.6, ...],
     "control_points": [...], "truth_table": true, "monotone": true, "info": {...}}

``metric`` and one of ``theta`` and ``control_points`` are required; the others have the defaults of
:class:`SurrogateParameters`, which says what they mean. ``theta`` lists the parameters as searched,
function after function; of Bezier segments all are in [0, 1], x then y, point after point.
``control_points`` lists x, y of the inner points, function after function; beside ``theta`` they
are what follows from it. ``info`` is free.

A file with the parameters of several metrics, for a weighted sum, holds such an object for each::

    {"mIoU": {"theta": [...], ...}, "BF1": {"theta": [...], ...}, "info": {...}}
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from mmdet_alrp.atomic_write import atomic_write

from .surrogate_parameters import SurrogateParameters, inner_points
from .surrogates import SURROGATES


def read_parameters(path: str | os.PathLike[str]) -> SurrogateParameters:
    """Read a file with the parameters of one metric.

    Args:
        path: The file.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is no json, not as the module describes, or of several metrics; the
            message names the file.
    """
    found = read_all_parameters(path)
    if len(found) > 1:
        raise ValueError(
            f'{path} holds parameters of {" and ".join(found)}: expected those of one metric'
        )
    return next(iter(found.values()))


def read_all_parameters(path: str | os.PathLike[str]) -> dict[str, SurrogateParameters]:
    """Read a file with the parameters of one metric or several.

    Args:
        path: The file.

    Returns:
        The parameters of each metric.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is no json or not as the module describes; the message names the file.
    """
    try:
        content = json.loads(Path(path).read_text(encoding='utf-8'))
    except FileNotFoundError as error:
        raise FileNotFoundError(f'there is no file of surrogate parameters at {path}') from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f'{path} is no json file of surrogate parameters: {error}') from error
    try:
        if isinstance(content, dict) and any(key in SURROGATES for key in content):
            return _parameters_by_metric(content)
        found = parameters_from_dict(content)
        return {found.metric: found}
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def parameters_from_dict(content: Any) -> SurrogateParameters:
    """Check and take what a file holds.

    Args:
        content: Content of a file for one metric.

    Raises:
        ValueError: If it is not as the module describes.
    """
    known = [field.name for field in fields(SurrogateParameters)]
    if not isinstance(content, Mapping):
        raise ValueError(f'expected an object with {", ".join(known)}, got {content!r}')
    unknown = sorted(set(map(str, content)) - {*known, 'info'})
    if unknown:
        raise ValueError(f'unknown key {unknown[0]!r}; known are {", ".join(known)} and info')
    if 'metric' not in content:
        raise ValueError("key 'metric' is missing")
    return SurrogateParameters(**{key: content[key] for key in known if key in content})


def _parameters_by_metric(content: dict[str, Any]) -> dict[str, SurrogateParameters]:
    found = {}
    for metric, entry in content.items():
        if metric == 'info':
            continue
        if metric not in SURROGATES:
            raise ValueError(
                f'unknown key {metric!r} beside metrics; known are {", ".join(SURROGATES)} and info'
            )
        if not isinstance(entry, dict) or entry.get('metric', metric) != metric:
            raise ValueError(f'expected an object with parameters of {metric}, got {entry!r}')
        found[metric] = parameters_from_dict({'metric': metric, **entry})
    return found


def parameters_to_dict(parameters: SurrogateParameters) -> dict[str, Any]:
    """List what a file holds; :func:`parameters_from_dict` takes it.

    Control points are added to ``theta`` where its ends are fixed.

    Args:
        parameters: Those of one metric.
    """
    content = {key: value for key, value in asdict(parameters).items() if value is not None}
    if parameters.truth_table:
        content['control_points'] = inner_points(parameters.curves)
    return content


def write_parameters(
    path: str | os.PathLike[str],
    parameters: SurrogateParameters | Mapping[str, SurrogateParameters],
    info: Mapping[str, Any] | None = None,
) -> None:
    """Write a file that :func:`read_all_parameters` and ``AutoSegLoss(theta=path)`` take.

    It appears whole or not at all.

    Args:
        path: File to write; a file there is replaced.
        parameters: What to write, of one metric, or of each metric of a sum by its name.
        info: Anything about the search that json can hold.

    Raises:
        ValueError: If parameters stand under the name of another metric, or there are none.
    """
    if isinstance(parameters, SurrogateParameters):
        parameters = {parameters.metric: parameters}
    wrong = [name for name, entry in parameters.items() if name != entry.metric]
    if wrong or not parameters:
        raise ValueError(f'parameters must stand under their metrics, not {wrong or "be none"}')
    contents = {metric: parameters_to_dict(entry) for metric, entry in parameters.items()}
    # That of one metric is flat.
    content = contents if len(contents) > 1 else next(iter(contents.values()))
    if info is not None:
        content['info'] = dict(info)
    text = json.dumps(content, indent=2) + '\n'
    with atomic_write(path) as draft:
        draft.write_text(text, encoding='utf-8')
