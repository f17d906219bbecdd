"""What an import of the package, or of a part that needs torch alone, does on which stack."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOSS = """
import sys
import torch
from mmdet_alrp.ranking import alrp_loss
loss_cls, loss_loc = alrp_loss(torch.tensor([1.0, 3.0]), torch.tensor([1, 0]), torch.tensor([0.4]))
print(f'{loss_cls:.2f}')
early = ('mmcv', 'mmdet', 'mmseg', 'mmdet_alrp.models', 'mmdet_alrp.segmentation', 'matplotlib')
print([name for name in early if name in sys.modules])
"""
CONFIG = """
from mmengine.config import Config
Config.fromstring("custom_imports = dict(imports=['mmdet_alrp'])", '.py')
"""
TRACE = "import sys\nprint('mmdet was imported', file=sys.stderr)\n"
REFUSED = "raise AssertionError('MMCV==2.2.0 is used but incompatible')\n"
# What of the stack is replaced: version and code of a package; no code leaves the installed one.
STACKS = {
    'broken mmcv': {'mmcv': ('2.1.0', 'raise RuntimeError("no good")'), 'mmdet': ('3.3.0', TRACE)},
    'old mmcv': {'mmcv': ('1.7.1', ''), 'mmdet': ('3.3.0', TRACE)},
    'new mmcv': {'mmcv': ('2.2.0', ''), 'mmdet': ('3.3.0', REFUSED)},
    'mmcv without operators': {'mmcv': ('2.1.0', ''), 'mmdet': ('3.3.0', TRACE)},
    'old mmdet': {'mmdet': ('3.2.0', None)},
    'old mmengine': {'mmengine': ('0.9.1', None)},
    'broken mmengine': {'mmengine': ('0.10.7', 'raise OSError("no good")')},
}
ERRORS = {
    'broken mmcv': 'mmcv 2.1.0 cannot be imported (RuntimeError: no good)',
    'old mmcv': 'mmcv 1.7.1 does not fit',
    'new mmcv': 'mmcv 2.2.0 does not fit',
    'mmcv without operators': 'mmcv 2.1.0 was installed without operators',
    'old mmdet': 'mmdet 3.2.0 does not fit',
    'old mmengine': 'mmengine 0.9.1 does not fit',
}


def write_stack(folder, packages):
    for name, (version, code) in packages.items():
        info = folder / f'{name}-{version}.dist-info'
        info.mkdir(parents=True)
        metadata = f'Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n'
        (info / 'METADATA').write_text(metadata)
        if code is not None:
            (folder / name).mkdir()
            (folder / name / '__init__.py').write_text(code)
    return folder


def run_python(code, *paths, warnings='default'):
    path = os.pathsep.join(map(str, (*paths, ROOT)))
    return subprocess.run(
        [sys.executable, '-W', warnings, '-c', code],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': path},
        cwd=ROOT,
    )


def last_line(answer):
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.splitlines()[-1]


# A part that needs torch alone


@pytest.mark.parametrize('stack', STACKS)
def test_ranking_works_on_any_stack_and_says_nothing(stack, tmp_path):
    folder = write_stack(tmp_path, STACKS[stack])
    answer = run_python(LOSS, folder)
    assert answer.stdout.splitlines() == ['0.50', '[]'], answer.stderr
    assert answer.stderr == ''


@pytest.mark.parametrize('absent', ['mmcv', 'mmengine'])
def test_ranking_works_where_parts_of_the_stack_are_absent(absent):
    answer = run_python(f'import sys\nsys.modules[{absent!r}] = None\n' + LOSS)
    assert answer.stdout.startswith('0.50'), answer.stderr
    assert answer.stderr == ''


def test_ranking_imports_no_tool_box_where_all_fits():
    answer = run_python(LOSS)
    assert answer.stdout.splitlines() == ['0.50', '[]'], answer.stderr
    assert answer.stderr == ''


FORMS = {
    'import {}': '',
    'from {} import part': '',
    "__import__('importlib').import_module('{}')": '',
    'import {}.part': 'part',
    'import {}.part.leaf': 'part',
    'from {}.part.leaf import VALUE': 'part',
    "__import__('importlib').import_module('.part.leaf', '{}')": 'part',
    "__import__('runpy').run_module('{}')": '__main__',
    "__import__('runpy').run_module('{}.part.leaf')": 'part',
    'import user_of_{}': '',
}


@pytest.mark.parametrize('form', FORMS)
def test_package_knows_for_which_part_it_is_imported(form, tmp_path, monkeypatch):
    package = f'package{list(FORMS).index(form)}'
    code = 'from mmdet_alrp.import_reason import imported_part\nPART = imported_part(__name__)\n'
    (tmp_path / package / 'part').mkdir(parents=True)
    (tmp_path / package / '__init__.py').write_text(code)
    (tmp_path / package / '__main__.py').touch()
    (tmp_path / package / 'part' / '__init__.py').touch()
    (tmp_path / package / 'part' / 'leaf.py').write_text('VALUE = 1\n')
    (tmp_path / f'user_of_{package}.py').write_text(f'import {package}\n')
    monkeypatch.syspath_prepend(tmp_path)
    exec(form.format(package), {})
    found = sys.modules[package].PART
    assert found == FORMS[form]


# The package itself


@pytest.mark.parametrize('stack', ERRORS)
def test_package_refuses_the_same_stack_in_one_line(stack, tmp_path):
    starts = ['import mmdet_alrp', 'import mmdet_alrp.engine.hooks', CONFIG]
    answer = run_python(
        f'import sys, traceback\nfor start in {starts!r}:\n'
        '    try: exec(start)\n'
        '    except ImportError: traceback.print_exc(file=sys.stdout)',
        write_stack(tmp_path, STACKS[stack]),
    )
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.count('mmdet_alrp does not fit what is installed here:') == len(starts)
    lines = [line for line in answer.stdout.splitlines() if ERRORS[stack] in line]
    assert len(lines) == len(starts) and all('needed: ' in line for line in lines)
    assert 'mmdet was imported' not in answer.stderr


def test_parts_that_need_the_stack_refuse_it_after_one_that_does_not(tmp_path):
    parts = ['models', 'engine.hooks', 'evaluation', 'datasets']
    answer = run_python(
        f'import mmdet_alrp.ranking, sys, traceback\nfor part in {parts}:\n'
        "    try: __import__(f'mmdet_alrp.{part}')\n"
        '    except ImportError: traceback.print_exc(file=sys.stdout)',
        write_stack(tmp_path, STACKS['mmcv without operators']),
    )
    lines = answer.stdout.splitlines()
    known = [line for line in lines if ERRORS['mmcv without operators'] in line]
    assert len(known) == len(parts), answer.stderr


USED = """
from mmdet.registry import DATASETS, HOOKS, METRICS, MODELS, OPTIM_WRAPPERS
from mmengine.registry import MODELS as ROOT_MODELS
print(all([
    'ALRPLoss' in MODELS, 'mmdet.RankingRetinaHead' in MODELS, 'LovaszSoftmaxLoss' in MODELS,
    'ShapesDataset' in DATASETS, 'SaliencyDataset' in DATASETS, 'CocoLRPMetric' in METRICS,
    'SODMetric' in METRICS, 'SelfBalanceHook' in HOOKS, 'BFloat16OptimWrapper' in OPTIM_WRAPPERS,
    'StructureLoss' in ROOT_MODELS,
]))
"""
STARTS = {
    'config': CONFIG,
    'part, then package': 'import mmdet_alrp.ranking, mmdet_alrp',
    'part, then config': f'import mmdet_alrp.ranking{CONFIG}',
    'tool box, part, then config': (
        "from mmdet.registry import HOOKS, MODELS\nMODELS.get('RetinaNet')\nHOOKS.get('EMAHook')\n"
        f'import mmdet_alrp.ranking{CONFIG}'
    ),
}


@pytest.mark.parametrize('start', STARTS.values(), ids=STARTS)
def test_everything_is_registered_in_whatever_order(start):
    assert last_line(run_python(start + USED, warnings='ignore')) == 'True'


def test_configs_of_the_package_and_checkpoints_are_known_after_a_part_too(tmp_path):
    (tmp_path / 'child.py').write_text("_base_ = 'mmdet_alrp::no_such_config.py'\n")
    answer = run_python(
        'import mmdet_alrp.ranking\nfrom mmengine.config import Config\n'
        f'Config.fromfile({str(tmp_path / "child.py")!r})',
        warnings='ignore',
    )
    assert 'no_such_config.py' in answer.stderr and 'mmdet_alrp' in answer.stderr.splitlines()[-1]
    code = """
import mmdet_alrp.ranking, torch
from mmengine.logging import HistoryBuffer
torch.save(HistoryBuffer([1.0], [1]), PATH)
print(torch.load(PATH, weights_only=True).mean(1))
""".replace('PATH', repr(str(tmp_path / 'history.pth')))
    assert last_line(run_python(code, warnings='ignore')) == '1.0'


FOREIGN = """
from mmengine.registry import MODELS, Registry
OWN = Registry('own', parent=MODELS, scope='my_project')
print('LovaszSoftmaxLoss' in OWN, 'LovaszSoftmaxLoss' in MODELS)
OLD = Registry('old', parent=MODELS, scope='mmrotate')  # finds its parts by register_all_modules
print(OLD._locations)
"""


@pytest.mark.parametrize('start', ['import mmdet_alrp', 'import mmdet_alrp.ranking'])
def test_registry_of_a_project_finds_the_segmentation_parts(start):
    answer = run_python(start + FOREIGN, warnings='ignore')
    assert answer.stdout.splitlines() == ['True True', '[]'], answer.stderr


def test_stack_that_does_not_fit_goes_on_working_beside_a_part(tmp_path):
    folder = write_stack(tmp_path, STACKS['old mmdet'])
    answer = run_python(
        'import mmdet_alrp.ranking\nfrom mmdet.registry import HOOKS, MODELS\n'
        "print('RetinaNet' in MODELS, 'ALRPLoss' in MODELS, 'SelfBalanceHook' in HOOKS)",
        folder,
    )
    assert last_line(answer) == 'True False False'
    assert answer.stderr.count('UserWarning: mmdet_alrp does not fit') == 1
    assert ERRORS['old mmdet'] in answer.stderr
