"""The modules of tools/analysis."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


def analysis(name: str) -> ModuleType:
    """Import one, as a tool of its folder does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TOOLS)
        return importlib.import_module(f'analysis.{name}')
