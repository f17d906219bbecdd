"""`python -m mmdet_alrp operators` on a copy of this machine's mmcv that has no operators."""

import os
import shutil
import subprocess
import sys
from importlib import machinery
from pathlib import Path

import mmcv
import pytest
from fresh_python import run_python

from mmdet_alrp.operators import installation

ROOT = Path(__file__).resolve().parents[2]
NMS = """
import torch
from mmcv.ops import nms
boxes = torch.tensor([[0., 0., 10., 10.], [0., 0., 10., 9.], [20., 20., 30., 30.]])
print(nms(boxes, torch.tensor([.9, .8, .7]), .5)[1].tolist())
"""
BOTH = """
from mmdet.registry import MODELS
assert MODELS.get('RankingRetinaHead') and MODELS.get('FasterRCNN')
"""


@pytest.fixture
def site(tmp_path):
    """A folder of packages whose mmcv has no operators."""
    source = Path(mmcv.__file__).parent
    leave = shutil.ignore_patterns('_ext*', '.mim', 'csrc')
    shutil.copytree(source, tmp_path / 'mmcv', ignore=leave)
    info = installation.find_record(source).parent
    shutil.copytree(info, tmp_path / info.name)
    installation.note_file(tmp_path / 'mmcv', None)
    return tmp_path


def environment(site):
    folders = os.pathsep.join(map(str, (site, ROOT)))
    return {**os.environ, 'PYTHONPATH': folders, 'CUDA_VISIBLE_DEVICES': ''}


def python(site, *words):
    return run_python('-W', 'ignore', *words, folder=site, environment=environment(site))


def python_from_the_start(site, *words):
    """Without torchvision, which `python` has imported beforehand."""
    return subprocess.run(
        [sys.executable, '-W', 'ignore', *words],
        capture_output=True,
        text=True,
        cwd=site,
        env=environment(site),
    )


def command(site, *options, start=python):
    answer = start(site, '-m', 'mmdet_alrp', 'operators', *options)
    assert 'Traceback' not in answer.stderr
    return answer


def test_operators_are_put_in_and_taken_out(site, monkeypatch):
    monkeypatch.setattr(installation, 'find_mmcv', lambda: site / 'mmcv')
    record = installation.find_record(site / 'mmcv')
    before = record.read_text('utf-8')
    target = site / 'mmcv' / '_ext.py'
    assert installation.install().endswith(f'on torchvision now: {target}')
    assert record.read_text('utf-8').count('mmcv/_ext.py,sha256=') == 1
    # Any program has them, and none gets this package with them.
    alone = python(site, '-c', NMS + "import sys; print('mmdet_alrp' in sys.modules)")
    assert alone.stdout.split('\n')[:2] == ['[0, 2]', 'False'], alone.stderr
    report = python(site, '-m', 'mmdet_alrp').stdout
    assert 'operators        on torchvision' in report and '\nnot there        ' in report

    answer = command(site, '--remove')
    assert answer.returncode == 0 and f'{target} was removed' in answer.stdout
    assert not target.exists() and record.read_text('utf-8') == before
    assert python(site, '-c', NMS).returncode != 0
    assert installation.remove().endswith('nothing was changed.')


def give(site):
    """What the command does, without the start of a program."""
    shutil.copy(installation.SOURCE, site / 'mmcv' / installation.NAME)


def test_import_order_does_not_matter(site):
    give(site)
    for program in ('import mmdet_alrp' + BOTH + NMS, NMS + 'import mmdet_alrp' + BOTH):
        answer = python(site, '-c', program)
        assert answer.stdout.splitlines()[-1] == '[0, 2]', answer.stderr


def test_missing_operator_says_so_when_it_is_called(site):
    give(site)
    program = 'import torch\nfrom mmcv.ops import box_iou_rotated\nboxes = torch.ones(1, 5)\n'
    answer = python(site, '-c', program + "print('imported')\nbox_iou_rotated(boxes, boxes)")
    assert answer.stdout == 'imported\n'
    last = answer.stderr.splitlines()[-1]
    assert last.startswith("NotImplementedError: mmcv's operator box_iou_rotated is not among")
    assert 'compiled operators' in last


def test_operators_without_this_package_say_what_to_do(site):
    give(site)
    program = "import sys; sys.modules['mmdet_alrp'] = None\nimport mmcv.ops"
    last = python(site, '-c', program).stderr.splitlines()[-1]
    assert last.startswith('ImportError: mmcv takes its operators from mmdet_alrp, which is no')


def test_unfit_torchvision_is_one_line(site):
    """Neither put in beside it, nor silent when it comes later."""
    (site / 'torchvision').mkdir()
    broken = site / 'torchvision' / '__init__.py'
    broken.write_text("raise RuntimeError('operator torchvision::nms does not exist')\n")
    answer = command(site, start=python_from_the_start)
    assert answer.returncode == 2 and not (site / 'mmcv' / '_ext.py').exists()
    assert 'no torchvision that fits torch (operator' in answer.stderr
    assert 'Run: pip install' in answer.stderr and len(answer.stderr.splitlines()) == 1
    give(site)
    answer = python_from_the_start(site, '-c', 'import mmdet_alrp.models')
    assert 'has operators that do not load' in answer.stderr
    assert 'need a torchvision that belongs to this torch (operator' in answer.stderr


def test_compiled_operators_that_do_not_load_stay(site):
    foreign = site / 'mmcv' / f'_ext{machinery.EXTENSION_SUFFIXES[0]}'
    foreign.write_text('of another torch\n')
    answer = command(site)
    assert answer.returncode == 2 and len(answer.stderr.splitlines()) == 1
    assert f'the compiled operators in {foreign} do not load' in answer.stderr
    assert 'pip uninstall mmcv' in answer.stderr
    assert [file.name for file in (site / 'mmcv').glob('_ext*')] == [foreign.name]


def test_foreign_module_stays(site, monkeypatch):
    foreign = site / 'mmcv' / '_ext.py'
    foreign.write_text('nothing of ours\n')
    monkeypatch.setattr(installation, 'find_mmcv', lambda: site / 'mmcv')
    with pytest.raises(installation.InstallationError, match='was not written by mmdet_alrp'):
        installation.install()
    assert installation.remove().endswith('nothing was changed.')
    assert foreign.read_text() == 'nothing of ours\n'


def test_compiled_operators_that_load_are_kept(site, monkeypatch):
    compiled = site / 'mmcv' / f'_ext{machinery.EXTENSION_SUFFIXES[0]}'
    compiled.touch()
    monkeypatch.setattr(installation, 'find_mmcv', lambda: site / 'mmcv')
    monkeypatch.setitem(sys.modules, 'mmcv._ext', installation)  # anything that is loaded
    assert (
        installation.install() == f'mmcv has compiled operators ({compiled}): nothing was changed.'
    )


def test_environment_without_mmcv_is_one_line(site):
    (site / 'mmcv.py').write_text('raise ModuleNotFoundError\n')
    program = (
        "import runpy, sys\nsys.argv = ['-m', 'operators']\n"
        "sys.orig_argv = ['python', '-m', 'mmdet_alrp', 'operators']\n"
        "sys.modules['mmcv'] = None\nrunpy.run_module('mmdet_alrp', run_name='__main__')"
    )
    answer = python(site, '-c', program)
    assert answer.returncode == 2
    assert answer.stderr.startswith('mmdet_alrp operators: mmcv is not installed. Run: pip install')


@pytest.mark.parametrize(
    ('torch', 'torchvision'),
    [('2.0.1', "'torchvision==0.15.*'"), ('2.14.1+cpu', "'torchvision==0.29.*'")],
)
def test_torchvision_of_a_torch(monkeypatch, torch, torchvision):
    monkeypatch.setattr(installation.metadata, 'version', lambda name: torch)
    assert installation.matching_torchvision() == torchvision
