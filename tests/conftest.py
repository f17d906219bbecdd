"""Fixtures that all tests share."""

import os
from contextlib import suppress
from functools import cache
from pathlib import Path

import pytest
import torch
from building import call_backend, copy_sources

ROOT = Path(__file__).resolve().parent.parent
DEVICES = ['cpu', *(['cuda'] if torch.cuda.is_available() else [])]


def pytest_configure() -> None:
    """Have MMEngine read each index of a toolbox's configs once.

    It reads all of them again, a second of parsing YAML, for every `_base_` in another package.
    """
    with suppress(ModuleNotFoundError):
        from mmengine.config import utils

        utils.load = cache(utils.load)


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


@pytest.fixture(scope='session')
def source(tmp_path_factory) -> Path:
    """A copy of the sources, in a path with a space."""
    folder = tmp_path_factory.mktemp('a project') / 'source'
    copy_sources(folder)
    return folder


@pytest.fixture(scope='session')
def wheel(source, tmp_path_factory) -> Path:
    return call_backend('build_wheel', source, tmp_path_factory.mktemp('wheel') / 'dist')
