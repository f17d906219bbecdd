"""Tools of this repository as modules."""

import importlib
from pathlib import Path
from types import ModuleType

import pytest

TOOLS = Path(__file__).resolve().parents[2] / 'tools'


def tool(name: str) -> ModuleType:
    """Import one with the folder of the tools on the path, as when it is started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(TOOLS)
        return importlib.import_module(name)


def analysis(name: str) -> ModuleType:
    """Import one of tools/analysis."""
    return tool(f'analysis.{name}')
