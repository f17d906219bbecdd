"""The kernels for a GPU in Triton's interpreter."""

import pytest
import torch

from mmdet_alrp.ranking import fused, fused_passes


def interpret_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rank on a CPU by the kernels; a program takes milliseconds there: few, large ones."""
    monkeypatch.setenv(fused_passes.SWITCH, 'interpret')
    monkeypatch.setattr(fused, 'TILE', (64, 128))
    monkeypatch.setattr(fused, 'MAX_CELLS', 128)
    monkeypatch.setattr(fused, 'MIN_CELLS', 16)
    monkeypatch.setattr(fused_passes, 'BLOCK', 512)
    assert fused_passes.kernels_run(torch.device('cpu'))  # asked once, which is a launch
