"""Imported first by every tool of this folder: finds the package and the tools beside it."""

import os
import runpy
import sys
from pathlib import Path

os.environ.update(KINETO_LOG_LEVEL='99', TORCH_CPP_LOG_LEVEL='ERROR')  # the profiler chats
TOOLS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOOLS))
runpy.run_path(str(TOOLS / '_find_package.py'))
