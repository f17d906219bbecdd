"""Imported next by a tool that needs MMDetection: a stack that does not fit ends it in one line."""

import sys
from pathlib import Path

from mmdet_alrp.compatibility import OPTIONAL, survey

needed = [finding for finding in survey() if finding.module not in OPTIONAL]
misfits = [finding.line() for finding in needed if finding.problem]
if misfits:
    tool = Path(sys.modules['__main__'].__file__).name
    print(f'{tool}: error: {" ".join(misfits)}', file=sys.stderr)
    sys.exit(2)
