"""Imported first by every tool: finds the package, installed or beside this folder."""

import sys
from importlib.util import find_spec
from pathlib import Path

if find_spec('mmdet_alrp') is None:  # not installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
