"""Imported first by every tool: finds the package, installed or beside this folder.

A stack that does not fit ends the tool here, in one line.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

if find_spec('mmdet_alrp') is None:  # not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
try:
    import mmdet_alrp  # noqa: F401
except ImportError as misfit:  # says which version does not fit, and what to do
    print(f'{Path(sys.argv[0]).name}: error: {" ".join(str(misfit).split())}', file=sys.stderr)
    sys.exit(2)
