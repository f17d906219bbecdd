"""The script for a GPU runs in small, and says what differs."""

from pathlib import Path

import pytest
import torch

pytest.importorskip('triton')
BENCHMARKS = Path(__file__).resolve().parents[2] / 'tools' / 'benchmarks'


@pytest.fixture
def gpu_check(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import gpu_check

    monkeypatch.setenv(gpu_check.SWITCH, 'interpret')
    monkeypatch.setitem(gpu_check.SIZES, 'cpu', ((400, 9),))
    monkeypatch.setattr(gpu_check, 'STATES', {'first': gpu_check.STATES['first']})
    monkeypatch.setattr(gpu_check, 'LOSSES', {'aLRP': gpu_check.our_alrp})
    monkeypatch.setattr(gpu_check, 'targets_that_differ', lambda device: iter(()))
    return gpu_check


@pytest.mark.skipif(torch.cuda.is_available(), reason='runs as a whole there')
def test_in_small(gpu_check, monkeypatch, capsys):
    assert gpu_check.main(['--device', 'cpu', '--parts', 'check']) == 0
    assert 'aLRP, 400 logits, first: largest difference' in capsys.readouterr().out
    monkeypatch.setattr(gpu_check, 'by_pytorch', lambda loss, batch: loss(*batch) * 1.001)
    assert gpu_check.main(['--device', 'cpu', '--parts', 'check']) == 1
    assert 'FAILED: aLRP, 400 logits, first: kernels' in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_without_a_gpu(gpu_check, capsys):
    assert gpu_check.main([]) == 2
    assert 'there is no GPU' in capsys.readouterr().err
