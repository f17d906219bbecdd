"""Imported first by every tool: finds the package, installed or beside this folder.

A stack that does not fit ends the tool here, in one line.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

if find_spec('mmdet_alrp') is None:  # not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmdet_alrp.compatibility import OPTIONAL, survey

needed = [finding for finding in survey() if finding.module not in OPTIONAL]
misfits = [finding.line() for finding in needed if finding.problem]
if misfits:
    tool = Path(sys.modules['__main__'].__file__).name
    print(f'{tool}: error: {" ".join(misfits)}', file=sys.stderr)
    sys.exit(2)
