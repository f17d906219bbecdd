"""Imported first by every tool of this folder: finds the package and the tools beside it."""

import runpy
import sys
from pathlib import Path

TOOLS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOOLS))
runpy.run_path(str(TOOLS / '_find_package.py'))
