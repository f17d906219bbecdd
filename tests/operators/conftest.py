"""The operators on torchvision under mmcv's own functions, also where mmcv has compiled ones."""

import sys
from pathlib import Path

import pytest
from mmcv import ops

sys.path.append(str(Path(__file__).resolve().parents[1] / 'configs'))


class OnTorchvision:
    def __init__(self, find):
        self.find = find

    def __getattr__(self, name):
        return self.find(name)


@pytest.fixture(autouse=True)
def on_torchvision(monkeypatch):
    reason = 'the operators need torchvision'
    name = 'mmdet_alrp.operators.lookup'
    lookup = pytest.importorskip(name, reason=reason, exc_type=ImportError)
    for name, module in list(sys.modules.items()):
        if name.startswith(ops.__name__ + '.') and hasattr(module, 'ext_module'):
            monkeypatch.setattr(module, 'ext_module', OnTorchvision(lookup.find_operator))
