"""The operators on torchvision under mmcv's own functions, also where mmcv has compiled ones."""

import sys
from pathlib import Path

import pytest

pytest.importorskip('torchvision', reason='the operators need torchvision', exc_type=ImportError)
sys.path.append(str(Path(__file__).resolve().parents[1] / 'configs'))

from mmcv import ops

from mmdet_alrp.operators.lookup import find_operator


class OnTorchvision:
    def __getattr__(self, name):
        return find_operator(name)


@pytest.fixture(autouse=True)
def on_torchvision(monkeypatch):
    for name, module in list(sys.modules.items()):
        if name.startswith(ops.__name__ + '.') and hasattr(module, 'ext_module'):
            monkeypatch.setattr(module, 'ext_module', OnTorchvision())
