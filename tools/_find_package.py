"""Imported first by every tool: finds the package, installed or beside this folder.

A package that is missing altogether ends the tool in one line.
"""

import sys
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

if find_spec('mmdet_alrp') is None:  # not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))


def end_in_one_line(kind: type, error: BaseException, trace: TracebackType | None) -> None:
    """Print which package is missing; other errors keep their traceback."""
    from mmdet_alrp.compatibility import is_importable

    name = error.name if isinstance(error, ModuleNotFoundError) else None
    if not name or '.' in name or is_importable(name):
        sys.__excepthook__(kind, error, trace)
    else:
        tool = Path(sys.argv[0]).name
        print(f'{tool}: error: {name} is not installed: see docs/install.md', file=sys.stderr)


if Path(__file__).resolve().parent in Path(sys.argv[0]).resolve().parents:  # started as a tool
    sys.excepthook = end_in_one_line
