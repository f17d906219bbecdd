"""Files of surrogate parameters: what a search writes and ``AutoSegLoss(theta=path)`` reads.

A file is one json object::

    {"metric": "mIoU", "parameterization": "bezier", "segments": 2, "theta": [0.1, 0.6, ...],
     "control_points": [...], "truth_table": true, "monotone": true, "info": {...}}

``metric`` and one of ``theta`` and ``control_points`` are required; the others have the defaults of
:class:`SurrogateParameters`, which says what they mean. ``theta`` lists the parameters as searched,
function after function; of Bezier segments all are in [0, 1], x then y, point after point.
``control_points`` lists x, y of the inner points, function after function; beside ``theta`` they
are what follows from it. ``info`` is free.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from .surrogate_parameters import SurrogateParameters, inner_points


def read_parameters(path: str | os.PathLike[str]) -> SurrogateParameters:
    """Read a file of parameters.

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
        return parameters_from_dict(content)
    except ValueError as error:
        raise ValueError(f'{path}: {error}') from error


def parameters_from_dict(content: Any) -> SurrogateParameters:
    """Check and take what a file holds.

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


def write_parameters(
    path: str | os.PathLike[str],
    parameters: SurrogateParameters,
    info: Mapping[str, Any] | None = None,
) -> None:
    """Write a file that :func:`read_parameters` and ``AutoSegLoss(theta=path)`` take.

    It appears whole or not at all: a draft beside it is renamed.

    Args:
        path: File to write; a file there is replaced.
        parameters: What to write; control points are added to ``theta`` where its ends are fixed.
        info: Anything about the search that json can hold.
    """
    content = {key: value for key, value in asdict(parameters).items() if value is not None}
    if parameters.truth_table:
        content['control_points'] = inner_points(parameters.curves)
    if info is not None:
        content['info'] = dict(info)
    path = Path(path)
    draft = path.with_name(f'{path.name}.{os.getpid()}.draft')
    try:
        draft.write_text(json.dumps(content, indent=2) + '\n', encoding='utf-8')
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
