"""What importing the package does, and what building its parts by name does, on which stack."""

import importlib
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from building import write_stack
from fresh_python import run_python

from mmdet_alrp import registration

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
BUILD = """
from mmengine.registry import MODELS
MODELS.build(dict(type='ALRPLoss'))
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
    'mmcv without operators': 'mmcv 2.1.0 was installed without operators',
    'old mmdet': 'mmdet 3.2.0 does not fit',
}


def run_code(code, *paths, warnings='default'):
    path = os.pathsep.join(map(str, (*paths, ROOT)))
    environment = {**os.environ, 'PYTHONPATH': path}
    return run_python('-W', warnings, '-c', code, folder=ROOT, environment=environment)


def run_from_the_start(code, *paths):
    """Without torch, which `run_code` has imported beforehand."""
    return subprocess.run(
        [sys.executable, '-W', 'default', '-c', code],
        capture_output=True,
        text=True,
        env={**os.environ, 'PYTHONPATH': os.pathsep.join(map(str, (*paths, ROOT)))},
        cwd=ROOT,
    )


def last_lines(answer, count):
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.splitlines()[-count:]


# A part that needs torch alone


@pytest.mark.parametrize('stack', ['broken mmengine', 'new mmcv'])
def test_ranking_works_on_any_stack_and_says_nothing(stack, tmp_path):
    folder = write_stack(tmp_path, STACKS[stack])
    answer = run_code(LOSS, folder)
    assert answer.stdout.splitlines() == ['0.50', '[]'], answer.stderr
    assert answer.stderr == ''


def test_ranking_imports_no_tool_box_where_all_fits():
    answer = run_code(LOSS)
    assert answer.stdout.splitlines() == ['0.50', '[]'], answer.stderr
    assert answer.stderr == ''


def test_evaluation_starts_without_torch_and_knows_the_parts_that_need_more():
    # All from the start: mmcv's compiled operators load only where torch was imported before.
    answer = run_from_the_start(
        'import sys, mmdet_alrp.calibration, mmdet_alrp.datasets, mmdet_alrp.evaluation\n'
        "print([name for name in ('torch', 'mmcv', 'mmdet') if name in sys.modules])\n"
        'from mmdet_alrp.calibration import ScoreMap\n'
        'from mmdet_alrp.datasets import ShapesDataset\n'
        'from mmdet_alrp.evaluation import CocoLRPMetric\n'
        "print(ScoreMap.__name__, *('mmdet' in str(each.mro()) for each in "
        '(ShapesDataset, CocoLRPMetric)))'
    )
    assert answer.stdout.splitlines() == ['[]', 'ScoreMap True True'], answer.stderr


# The package itself


@pytest.mark.parametrize('stack', STACKS)
def test_package_can_be_imported_on_any_stack_and_says_nothing(stack, tmp_path):
    folder = write_stack(tmp_path, STACKS[stack])
    answer = run_from_the_start('import mmdet_alrp\nprint(1)', folder)
    assert (answer.stdout, answer.stderr) == ('1\n', '')


@pytest.mark.parametrize('stack', ['broken mmcv', 'mmcv without operators', 'old mmdet'])
def test_parts_refuse_a_stack_that_does_not_fit_in_one_line(stack, tmp_path):
    starts = [
        *('import mmdet_alrp.models', 'import mmdet_alrp.engine.hooks'),
        'from mmdet_alrp.evaluation import CocoLRPMetric',
        'from mmdet_alrp.datasets import ShapesDataset',
        CONFIG + BUILD,
    ]
    answer = run_code(
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


STATE = """
import sys
for name in [name for name in sys.modules if name.partition('.')[0] == 'torchvision']:
    del sys.modules[name]  # imported beforehand; another import would bring it back
from torch import serialization
from mmengine.config import Config, utils
from mmengine.registry import HOOKS, MODELS
def state():
    own = [{**vars(registry), '_module_dict': None} for registry in (HOOKS, MODELS)]
    return own, dict(vars(Config)), serialization.get_safe_globals(), dict(utils.MODULE2PACKAGE)
before = repr(state())
import mmdet_alrp
print(repr(state()) == before)
early = ('mmdet', 'mmseg', 'mmcv', 'torchvision', 'mmengine.runner', 'matplotlib', 'sklearn')
print([name for name in early if name in sys.modules])
print([name for name in sys.modules if name.startswith('mmdet_alrp.')])
"""


@pytest.mark.skipif(
    not hasattr(torch.serialization, 'get_safe_globals'), reason='this torch has no such list'
)
def test_import_changes_nothing_but_the_names_in_the_registries():
    lines = last_lines(run_code(STATE), 3)
    ours = ('config_files', 'compatibility', 'registration', 'version')
    assert lines[:2] == ['True', '[]']
    assert sorted(eval(lines[2])) == sorted(f'mmdet_alrp.{name}' for name in ours)


USED = """
from mmdet.registry import DATASETS, HOOKS, METRICS, MODELS, OPTIM_WRAPPERS
from mmengine.registry import MODELS as ROOT_MODELS
print(all([
    'ALRPLoss' in MODELS, 'RankingRetinaHead' in MODELS, 'LovaszSoftmaxLoss' in MODELS,
    'ShapesDataset' in DATASETS, 'SaliencyDataset' in DATASETS, 'CocoLRPMetric' in METRICS,
    'SODMetric' in METRICS, 'SelfBalanceHook' in HOOKS, 'BFloat16OptimWrapper' in OPTIM_WRAPPERS,
    'StructureLoss' in ROOT_MODELS,
]))
print(type(MODELS.build(dict(type='aLRPLoss'))).__name__, MODELS.get('mmdet.ALRPLoss').__name__)
"""
STARTS = {
    'config': CONFIG,
    'tool box, part, then config': (
        "from mmdet.registry import HOOKS, MODELS\nMODELS.get('RetinaNet')\nHOOKS.get('EMAHook')\n"
        f'import mmdet_alrp.ranking{CONFIG}'
    ),
}


@pytest.mark.parametrize('start', STARTS.values(), ids=STARTS)
def test_everything_is_registered_in_whatever_order(start):
    lines = last_lines(run_code(start + USED, warnings='ignore'), 2)
    assert lines == ['True', 'ALRPLoss ALRPLoss']


OTHERS = """
import sys
sys.modules.update(mmdet=None)
import mmdet_alrp
from mmengine.registry import MODELS, Registry
from mmseg import registry
own = Registry('own', parent=MODELS, scope='my_project')
for each in (MODELS, own, registry.MODELS):
    print(type(each.build(dict(type='LovaszSoftmaxLoss'))).__name__)
print(type(registry.HOOKS.build(dict(type='MaskCheckHook'))).__name__)
print(registry.MODELS.get('F3Head').load().__name__)
try:
    MODELS.build(dict(type='ALRPLoss'))
except ImportError as error:
    print(error)
"""


def test_tool_boxes_and_projects_find_the_parts_without_mmdet():
    pytest.importorskip('mmseg')
    lines = last_lines(run_code(OTHERS), 8)
    assert lines[:5] == [*['LovaszSoftmaxLoss'] * 3, 'MaskCheckHook', 'F3Head']
    assert lines[6].startswith('mmdet is missing; needed: mmdet>=3.3')


def test_a_name_that_is_taken_stays_with_its_owner():
    code = """
from mmengine.registry import HOOKS
HOOKS.register_module(name='FiniteLossHook', module=dict)
import mmdet_alrp
print(HOOKS.get('FiniteLossHook').__name__)
"""
    assert last_lines(run_code(code), 1) == ['dict']


def test_stack_that_does_not_fit_goes_on_working_beside_a_part(tmp_path):
    folder = write_stack(tmp_path, STACKS['old mmdet'])
    answer = run_code(
        'import mmdet_alrp.ranking\nfrom mmdet.registry import MODELS\n'
        "print('RetinaNet' in MODELS)\nMODELS.build(dict(type='ALRPLoss', use_sigmoid=True))",
        folder,
    )
    assert answer.stdout.splitlines()[-1] == 'True'
    assert 'UserWarning: mmdet_alrp' not in answer.stderr
    assert ERRORS['old mmdet'] in answer.stderr


# The table of names


def test_table_has_every_registered_name_and_each_leads_to_its_part():
    pytest.importorskip('mmseg')
    listed = {(name, each) for name, _, _, names in registration.PARTS for each in names.split()}
    for _, module, _, names in registration.PARTS:
        assert all(registration.StandIn(module, each, ()).load() for each in names.split())
    registered = set()
    for tool_box in ('mmengine', 'mmdet', 'mmseg'):
        registries = vars(importlib.import_module(f'{tool_box}.registry'))
        for name in {name for name, _ in listed} & set(registries):
            for key, part in registries[name].module_dict.items():
                ours = part.__module__.startswith('mmdet_alrp.')
                if ours and not isinstance(part, registration.StandIn):
                    registered.add((name, key))
    # a search brings its data set itself
    assert registered - {('DATASETS', 'HoldOutPart')} == listed


def test_part_stands_in_for_its_class():
    stand_in = registration.StandIn('mmdet_alrp.datasets', 'ShapesDataset', ())
    assert stand_in.METAINFO['classes'] == stand_in.load().METAINFO['classes']
    assert pickle.loads(pickle.dumps(stand_in)).load() is stand_in.load()


def test_fork_of_mmsegmentation_is_found_by_its_module(monkeypatch, tmp_path):
    from mmengine.config import Config, utils

    config = tmp_path / 'mmseg' / '.mim' / 'configs' / '_base_' / 'model.py'
    config.parent.mkdir(parents=True)
    config.write_text('x = 1\n')
    (tmp_path / 'mmseg' / '__init__.py').touch()
    (tmp_path / 'mmseg' / '.mim' / 'model-index.yml').write_text('Import: []\n')
    (tmp_path / 'child.py').write_text("_base_ = 'mmseg::_base_/model.py'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, 'mmseg', raising=False)
    monkeypatch.setattr(utils, 'MODULE2PACKAGE', dict(utils.MODULE2PACKAGE))
    found = ('onedl-mmsegmentation', '1.4.0')
    monkeypatch.setattr(registration, 'find_version', lambda module: found)
    registration.find_fork_of_mmseg()
    assert utils.MODULE2PACKAGE['mmseg'] == 'mmseg'
    assert Config.fromfile(tmp_path / 'child.py').x == 1
