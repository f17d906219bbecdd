"""Fixtures that all tests share."""

import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from building import call_backend, copy_sources

if not torch.cuda.is_available():
    os.environ.setdefault('TRITON_INTERPRET', '1')  # read when Triton is imported

ROOT = Path(__file__).resolve().parent.parent
# Tools find each other in these folders, as when they are started.
sys.path += [str(ROOT / 'tools'), str(ROOT / 'tools' / 'benchmarks')]
DEVICES = ['cpu', *(['cuda'] if torch.cuda.is_available() else [])]


def pytest_configure() -> None:
    if 'PYTEST_XDIST_WORKER' in os.environ:
        # Workers side by side, and what they start, would take each other's cores.
        os.environ.setdefault('OMP_NUM_THREADS', '1')
        torch.set_num_threads(1)
    with suppress(ModuleNotFoundError):
        from runs_of_mmengine import quicken_mmengine

        quicken_mmengine()
    with suppress(ModuleNotFoundError):
        from hypothesis import HealthCheck, settings

        # How fast inputs are drawn depends on what else the machine does.
        settings.register_profile('any machine', suppress_health_check=[HealthCheck.too_slow])
        settings.load_profile('any machine')


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker a core, also where two are one physical core; each takes a gigabyte or two."""
    return min(os.cpu_count() or 1, 16)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that start whole programs: at the end workers would wait for them."""
    slow = (ROOT / 'tests', ROOT / 'tests' / 'tools')
    items.sort(key=lambda item: item.path.parent not in slow)


@pytest.fixture(scope='module', autouse=True)
def fresh_mmengine() -> None:
    """Drop the scope, visualizers and loggers that runs of earlier modules have left in MMEngine.

    It hands them to later runs of the process: detections would go to a segmentation's visualizer.
    """
    with suppress(ModuleNotFoundError):
        from runs_of_mmengine import forget_runs

        forget_runs()


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
