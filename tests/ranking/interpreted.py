"""The kernels for a GPU in Triton's interpreter; tests that import this file skip without it."""

import os
import sys
from importlib.util import find_spec

import pytest
import torch

from mmdet_alrp.ranking import fused, fused_passes

if find_spec('triton') is None and os.environ.get('CI') == 'true' and sys.platform == 'linux':
    pytest.fail('triton is not installed', pytrace=False)
# The interpreter of Triton 2 cannot run the kernels.
pytest.importorskip('triton', minversion='3.0')


def interpret_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rank on a CPU by the kernels; a program takes milliseconds there: few, large ones."""
    monkeypatch.setenv(fused_passes.SWITCH, 'interpret')
    monkeypatch.setattr(fused, 'TILE', (64, 128))
    monkeypatch.setattr(fused, 'MAX_CELLS', 128)
    monkeypatch.setattr(fused, 'MIN_CELLS', 16)
    monkeypatch.setattr(fused_passes, 'BLOCK', 512)
    assert fused_passes.kernels_run(torch.device('cpu'))  # asked once, which is a launch
