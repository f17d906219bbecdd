"""Fixtures that all tests share."""

import os
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
DEVICES = ['cpu', *(['cuda'] if torch.cuda.is_available() else [])]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(request.param)


@pytest.fixture(scope='session')
def shared_data() -> Path:
    """The folder of public test data that lies beside the checkout."""
    folder = ROOT.parent / 'shared' / 'data'
    if not folder.is_dir():
        reason = f'{folder} is absent'
        if os.environ.get('CI') == 'true':
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
