"""JSON files: read with one line of error, written whole."""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path

from mmdet_alrp.atomic_write import atomic_write


def write_json(path: str | os.PathLike, content: dict) -> None:
    """Write valid JSON (NaN becomes null) to a temporary name beside ``path``, then rename it.

    A list of numbers stands on one line.

    Args:
        path: The file; its folder is made if need be.
        content: What to write; keys are strings.

    Raises:
        OSError: If the file cannot be written; it is then as before.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(_without_nan(content), indent=2, ensure_ascii=False, allow_nan=False)
    # A line break inside brackets is never part of a name: JSON writes those as \n.
    text = re.sub(r'\[\n[-+.,\s\deE]*\]', lambda found: re.sub(r'\n\s*', ' ', found[0]), text)
    with atomic_write(path) as draft:
        draft.write_text(text + '\n', encoding='utf-8')


def read_json(path: str | os.PathLike, error_type: type[ValueError]) -> object:
    """Read a JSON file.

    Args:
        path: The file.
        error_type: What is raised, with one line that names the file, if it cannot be read.
    """
    try:
        with open(path, encoding='utf-8') as file:
            return json.load(file)
    except OSError as error:
        raise error_type(f'{path}: cannot be read: {error.strerror}') from error
    except (ValueError, RecursionError) as error:  # also what is not UTF-8
        raise error_type(f'{path}: not valid JSON: {error}') from error


def _without_nan(content: object) -> object:
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and math.isnan(content) else content
