import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from fresh_python import run_python

from mmdet_alrp import compatibility
from mmdet_alrp.__main__ import OPENCV, report

ROOT = Path(__file__).resolve().parent.parent
FITTING = {'torch': '2.13.0', 'mmengine': '0.10.7', 'mmcv': '2.1.0', 'mmdet': '3.3.0'}
STACK = ('mmengine', 'mmcv', 'mmdet')


@pytest.fixture
def pretend(monkeypatch):
    """Return a function that makes exactly the given distributions look installed."""

    def install(versions: dict[str, str], ops_problem: str = '') -> None:
        modules = {
            module
            for module, releases in compatibility.ACCEPTED.items()
            if any(release.distribution in versions for release in releases)
        }

        def version(distribution: str) -> str:
            if distribution not in versions:
                raise metadata.PackageNotFoundError(distribution)
            return versions[distribution]

        monkeypatch.setattr(compatibility.metadata, 'version', version)
        monkeypatch.setattr(compatibility, 'is_importable', modules.__contains__)
        monkeypatch.setattr(compatibility, 'compiled_ops_problem', lambda: ops_problem)

    return install


def test_versions_are_ordered_as_releases():
    order = ['2.0.0rc3', '2.0.0rc4', '2.0.0', '2.0.1', '2.1.0+cpu', '2.2.0rc1', '2.2.0', '2.10']
    keys = [compatibility.version_key(version) for version in order]
    assert keys == sorted(keys) and len(set(keys)) == len(keys)
    assert compatibility.version_key('2.2') == compatibility.version_key('2.2.0')


def refusal(*needed: str) -> list[str]:
    """The lines with which a part that needs these modules is refused; none where all fits."""
    try:
        compatibility.refuse_misfits(*needed)
    except ImportError as error:
        return str(error).splitlines()[1:-1]
    return []


def test_fitting_stack_passes(pretend):
    pretend(FITTING)
    assert refusal(*STACK) == []


def test_maintained_forks_pass(pretend):
    pretend(
        {
            'torch': '2.13.0',
            'onedl-mmengine': '0.10.12',
            'onedl-mmcv': '2.3.6',
            'onedl-mmdetection': '3.5.1',
        }
    )
    assert refusal(*STACK) == []


@pytest.mark.parametrize(
    ('module', 'version', 'fits'),
    [
        ('torch', '1.13.1', False),
        ('torch', '2.0.0', True),
        ('mmengine', '0.9.1', False),
        ('mmengine', '0.10.0', True),
        ('mmengine', '0.11.0', False),
        ('mmcv', '2.0.0rc3', False),
        ('mmcv', '2.0.0rc4', True),
        ('mmcv', '2.2.0', False),
        ('mmdet', '3.2.0', False),
        ('mmdet', '3.3.1', True),
        ('mmdet', '3.4.0', False),
    ],
)
def test_bounds(pretend, module, version, fits):
    pretend({**FITTING, module: version})
    lines = refusal(*STACK)
    if fits:
        assert lines == []
        return
    (line,) = [line for line in lines if line.startswith(f'{module} ')]
    assert version in line and 'needed: ' in line and 'pip install' in line


def test_every_misfit_gets_its_line(pretend):
    pretend({'torch': '1.13', 'mmengine': '0.9.0', 'mmcv': '2.2.0', 'mmdet': '3.2.0'})
    assert [line.split()[0] for line in refusal(*STACK)] == ['torch', 'mmengine', 'mmcv', 'mmdet']
    assert [line.split()[0] for line in refusal('mmengine')] == ['torch', 'mmengine']


def test_missing_operators_are_a_misfit(pretend):
    pretend(FITTING, ops_problem='was installed without operators')
    (line,) = refusal(*STACK)
    assert line.startswith('mmcv 2.1.0 was installed without operators')
    assert 'python -m mmdet_alrp operators' in line


def test_mixed_families_are_a_misfit(pretend):
    versions = {name: v for name, v in FITTING.items() if name != 'mmcv'}
    pretend({**versions, 'onedl-mmcv': '2.3.6'})
    (line,) = refusal(*STACK)
    assert line.startswith('onedl-mmcv 2.3.6 does not fit mmdet 3.3.0')


@pytest.mark.parametrize(
    ('there', 'missing'),
    [
        ((), ['mmengine', 'mmcv', 'mmdet']),
        (('mmengine',), ['mmcv', 'mmdet']),
        (('mmengine', 'mmcv'), ['mmdet']),
        (('mmcv', 'mmdet'), ['mmengine']),
    ],
)
def test_each_missing_module_gets_its_line(pretend, there, missing):
    pretend({name: FITTING[name] for name in ('torch', *there)})
    lines = refusal(*STACK)
    assert [line.split(' is missing; needed: ')[0] for line in lines] == missing
    assert all("Run: pip install '" in line for line in lines)
    assert refusal(*there) == []


@pytest.mark.parametrize(
    ('name', 'version'),
    [
        ('mmsegmentation', '1.1.2'),
        ('mmsegmentation', '1.3.0'),
        ('onedl-mmsegmentation', '1.3.0'),
        ('onedl-mmsegmentation', '1.4.0'),  # fits, but of the other family
    ],
)
def test_unfit_mmsegmentation_stops_nothing_but_what_needs_it(pretend, name, version):
    pretend({**FITTING, name: version})
    assert refusal(*STACK) == []
    (line,) = refusal('mmengine', 'mmcv', 'mmseg')
    assert line.startswith(f'{name} {version} does not fit')


def test_mmsegmentation_and_its_fork_pass(pretend):
    pretend({**FITTING, 'mmsegmentation': '1.2.2'})
    assert refusal(*STACK, 'mmseg') == []
    onedl = {'onedl-mmengine': '0.10.12', 'onedl-mmcv': '2.3.6', 'onedl-mmdetection': '3.5.1'}
    pretend({'torch': '2.13.0', **onedl, 'onedl-mmsegmentation': '1.4.0'})
    assert refusal(*STACK, 'mmseg') == []


def test_operators_matter_only_to_mmdet(pretend):
    stack = {name: version for name, version in FITTING.items() if name != 'mmdet'}
    pretend(stack, ops_problem='was installed without operators')
    assert refusal('mmengine', 'mmcv') == []


def test_torch_must_be_there(pretend):
    pretend({})
    with pytest.raises(ImportError, match='torch is not installed'):
        compatibility.refuse_misfits()


def test_source_tree_without_metadata(monkeypatch, tmp_path, pretend):
    package = tmp_path / 'mmdet'
    package.mkdir()
    (package / '__init__.py').touch()
    (package / 'version.py').write_text("__version__ = '3.1.0'\n", 'utf-8')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, 'mmdet', raising=False)
    pretend({name: v for name, v in FITTING.items() if name != 'mmdet'})
    monkeypatch.setattr(compatibility, 'is_importable', lambda name: True)
    assert compatibility.find_version('mmdet') == ('mmdet', '3.1.0')


def run_report_without(module: str) -> subprocess.CompletedProcess:
    """As `python -m` starts it, where a module cannot be imported."""
    start = "runpy.run_module('mmdet_alrp', run_name='__main__', alter_sys=True)"
    words = ('-W', 'default', '-c', f'import runpy, sys\nsys.modules[{module!r}] = None\n{start}')
    if module != 'torch':
        return run_python(*words, folder=ROOT)
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, cwd=ROOT)


def test_report_of_this_environment(capsys):
    status = report()
    out = capsys.readouterr().out
    for name in (
        *('python', 'torch', 'mmengine', 'mmcv', 'mmdet', 'mmseg', 'operators', 'devices'),
    ):
        assert f'\n{name} ' in '\n' + out
    assert 'NMS works' in out
    assert (status == 0) == ('Everything fits.' in out)


def test_report_of_an_environment_without_mmdet(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'mmdet', None)
    assert report() == 1
    assert 'mmdet is missing' in capsys.readouterr().out.partition('To do:')[2]


def test_report_of_two_versions_of_opencv(monkeypatch, capsys):
    real, two = metadata.version, dict(zip(OPENCV, ('5.0.0.93', '4.14.0.94'), strict=True))
    monkeypatch.setattr(metadata, 'version', lambda name: two.get(name) or real(name))
    assert report() == 1
    advice = "Run: pip install 'opencv-python==4.14.0.94' 'opencv-python-headless==4.14.0.94'"
    assert advice in capsys.readouterr().out.partition('To do:')[2]


@pytest.mark.parametrize(
    ('absent', 'expected'),
    [
        ('torch', 'torch is not installed'),
        ('mmcv._ext', 'without operators'),
        ('cv2', 'cannot be imported'),
    ],
)
def test_report_of_a_broken_environment(absent, expected):
    answer = run_report_without(absent)
    assert answer.returncode == 1, answer.stderr
    assert expected in answer.stdout.partition('To do:')[2]
    assert 'Traceback' not in answer.stderr + answer.stdout
