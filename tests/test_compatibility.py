import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from mmdet_alrp import compatibility

ROOT = Path(__file__).resolve().parent.parent
FITTING = {'torch': '2.13.0', 'mmengine': '0.10.7', 'mmcv': '2.1.0', 'mmdet': '3.3.0'}
ALL = ('mmengine', 'mmdet')


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


def run_python(code: str, *args: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, '-W', 'default', *args, '-c', code],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )


def test_versions_are_ordered_as_releases():
    order = ['2.0.0rc3', '2.0.0rc4', '2.0.0', '2.0.1', '2.1.0+cpu', '2.2.0rc1', '2.2.0', '2.10']
    keys = [compatibility.version_key(version) for version in order]
    assert keys == sorted(keys) and len(set(keys)) == len(keys)
    assert compatibility.version_key('2.2') == compatibility.version_key('2.2.0')


def test_fitting_stack_passes(pretend, recwarn):
    pretend(FITTING)
    assert compatibility.check_stack() == ALL
    assert not recwarn.list


def test_maintained_forks_pass(pretend):
    pretend(
        {
            'torch': '2.13.0',
            'onedl-mmengine': '0.10.12',
            'onedl-mmcv': '2.3.6',
            'onedl-mmdetection': '3.5.1',
        }
    )
    assert compatibility.check_stack() == ALL


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
    if fits:
        assert compatibility.check_stack() == ALL
        return
    with pytest.raises(ImportError) as error:
        compatibility.check_stack()
    lines = [line for line in str(error.value).splitlines() if line.startswith(f'{module} ')]
    assert len(lines) == 1
    assert version in lines[0] and 'needed: ' in lines[0] and 'pip install' in lines[0]


def test_every_misfit_gets_its_line(pretend):
    pretend({'torch': '1.13', 'mmengine': '0.9.0', 'mmcv': '2.2.0', 'mmdet': '3.2.0'})
    with pytest.raises(ImportError) as error:
        compatibility.check_stack()
    lines = str(error.value).splitlines()
    assert [line.split()[0] for line in lines[1:5]] == ['torch', 'mmengine', 'mmcv', 'mmdet']


def test_missing_operators_are_a_misfit(pretend):
    pretend(FITTING, ops_problem='was installed without operators')
    with pytest.raises(
        ImportError, match=r'mmcv 2\.1\.0 was installed without op.*_alrp operators'
    ):
        compatibility.check_stack()


def test_mixed_families_are_a_misfit(pretend):
    versions = {name: v for name, v in FITTING.items() if name != 'mmcv'}
    pretend({**versions, 'onedl-mmcv': '2.3.6'})
    with pytest.raises(ImportError, match=r'onedl-mmcv 2\.3\.6 does not fit mmdet 3\.3\.0'):
        compatibility.check_stack()


def test_no_openmmlab_at_all_is_silent(pretend, recwarn):
    pretend({'torch': '2.13.0'})
    assert compatibility.check_stack() == ()
    assert not recwarn.list


@pytest.mark.parametrize(
    ('there', 'usable', 'named'),
    [
        (
            ('mmengine', 'mmcv'),
            ('mmengine',),
            'only mmdet_alrp.segmentation and mmdet_alrp.ranking',
        ),
        (('mmengine', 'mmdet'), ('mmengine',), 'only mmdet_alrp.segmentation and'),
        (('mmengine',), ('mmengine',), 'mmcv and mmdet not found'),
        (('mmcv', 'mmdet'), (), 'only mmdet_alrp.ranking can'),
    ],
)
def test_part_of_openmmlab_warns_once(pretend, there, usable, named):
    pretend({name: FITTING[name] for name in ('torch', *there)})
    with pytest.warns(UserWarning, match=r'not found.*pip install') as record:
        assert compatibility.check_stack() == usable
    assert len(record) == 1 and named in str(record[0].message)


@pytest.mark.parametrize(
    ('stack', 'mmseg', 'usable'),
    [
        (('torch', 'mmengine', 'mmcv', 'mmdet'), {'mmsegmentation': '1.2.2'}, (*ALL, 'mmseg')),
        (('torch', 'mmengine', 'mmcv'), {'mmsegmentation': '1.2.0'}, ('mmengine', 'mmseg')),
    ],
)
@pytest.mark.filterwarnings('ignore:mmdet not found')
def test_mmsegmentation_is_used_where_it_is(pretend, stack, mmseg, usable):
    pretend({**{name: FITTING[name] for name in stack}, **mmseg})
    assert compatibility.check_stack() == usable


@pytest.mark.parametrize(
    ('mmseg', 'line'),
    [
        ({'mmsegmentation': '1.1.2'}, r"mmsegmentation 1\.1\.2 does not fit; .*pip install '"),
        ({'mmsegmentation': '1.3.0'}, r'mmsegmentation 1\.3\.0 does not fit'),
        ({'onedl-mmsegmentation': '1.3.0'}, r'onedl-mmsegmentation 1\.3\.0 does not fit; needed'),
        ({'onedl-mmsegmentation': '1.4.0'}, r'1\.4\.0 does not fit mmcv 2\.1\.0.*one family'),
    ],
)
def test_unfit_mmsegmentation_gets_one_line_and_stops_nothing(pretend, mmseg, line):
    pretend({**FITTING, **mmseg})
    with pytest.warns(UserWarning, match=line) as record:
        assert compatibility.check_stack() == ALL
    assert len(record) == 1 and len(str(record[0].message).splitlines()) == 1


def test_fork_of_mmsegmentation_passes(pretend):
    onedl = {'onedl-mmengine': '0.10.12', 'onedl-mmcv': '2.3.6', 'onedl-mmdetection': '3.5.1'}
    pretend({'torch': '2.13.0', **onedl, 'onedl-mmsegmentation': '1.4.0'})
    assert compatibility.check_stack() == (*ALL, 'mmseg')


def test_operators_matter_only_to_mmdet(pretend):
    stack = {name: version for name, version in FITTING.items() if name != 'mmdet'}
    pretend(stack, ops_problem='was installed without operators')
    with pytest.warns(UserWarning, match='mmdet not found'):
        assert compatibility.check_stack() == ('mmengine',)


def test_torch_must_be_there(pretend):
    pretend({})
    with pytest.raises(ImportError, match='torch is not installed'):
        compatibility.check_stack()


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


BLOCK = 'import sys\nfor name in {names!r}: sys.modules[name] = None\n'


def test_ranking_core_runs_where_openmmlab_is_blocked():
    answer = run_python(
        BLOCK.format(names=('mmdet', 'mmengine', 'mmcv'))
        + 'import torch\n'
        + 'from mmdet_alrp.ranking import average_precision_loss\n'
        + 'print(float(average_precision_loss(torch.tensor([1., 0.]), torch.tensor([1, 0]))))\n'
        + "assert 'mmdet_alrp.models' not in sys.modules\n"
    )
    assert answer.returncode == 0, answer.stderr
    assert float(answer.stdout) == 0.0
    assert 'Warning' not in answer.stderr


LOSSES = """
from mmengine.registry import MODELS
for name in ('FMeasureLoss', 'StructureLoss', 'LovaszSoftmaxLoss', 'AutoSegLoss'):
    assert MODELS.get(name) is not None, name
"""


@pytest.mark.parametrize('blocked', [('mmdet',), ('mmdet', 'mmseg'), ('mmdet', 'mmseg', 'mmcv')])
def test_segmentation_is_registered_without_mmdet(blocked):
    answer = run_python(BLOCK.format(names=blocked) + 'import mmdet_alrp\n' + LOSSES)
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.count('mmdet not found') == 1
    assert 'mmdet_alrp.segmentation and mmdet_alrp.ranking' in answer.stderr


def test_mmsegmentation_finds_the_losses_without_mmdet():
    answer = run_python(
        BLOCK.format(names=('mmdet',)) + 'import mmdet_alrp\nfrom mmseg import registry\n'
        "print(registry.MODELS.get('LovaszSoftmaxLoss'), registry.HOOKS.get('MaskCheckHook'),\n"
        "    registry.OPTIM_WRAPPERS.get('BFloat16OptimWrapper'))"
    )
    assert answer.returncode == 0, answer.stderr
    for name in ('LovaszSoftmaxLoss', 'MaskCheckHook', 'BFloat16OptimWrapper'):
        assert name in answer.stdout


def test_import_leaves_the_models_of_mmdet_for_later():
    answer = run_python(
        'import sys, mmdet_alrp\n'
        "early = ('mmdet', 'mmseg', 'mmengine.runner',\n"
        "    'mmcv.ops', 'matplotlib', 'py_sod_metrics', 'sklearn', 'mmdet_alrp.models')\n"
        'print([name for name in early if name in sys.modules])\n'
        'from mmdet.registry import DATASETS, HOOKS, METRICS, MODELS, OPTIM_WRAPPERS\n'
        "print(all((MODELS.get('ALRPLoss'), MODELS.get('RankingRetinaHead'),\n"
        "    DATASETS.get('ShapesDataset'), METRICS.get('CocoLRPMetric'),\n"
        "    HOOKS.get('SelfBalanceHook'), OPTIM_WRAPPERS.get('BFloat16OptimWrapper'))))"
    )
    lines = answer.stdout.splitlines()  # onedl-mmdetection says something in between
    assert [lines[0], lines[-1]] == ['[]', 'True'], answer.stderr


def test_registries_that_were_used_before_the_import_learn_of_it():
    answer = run_python(
        "from mmdet.registry import MODELS\nMODELS.get('RetinaNet')\nimport mmdet_alrp\n"
        "print('ALRPLoss' in MODELS, 'mmdet.ALRPLoss' in MODELS)"
    )
    assert answer.stdout.strip() == 'True True', answer.stderr


def test_missing_operators_stop_the_import_in_one_clear_message():
    answer = run_python("import sys\nsys.modules['mmcv._ext'] = None\nimport mmdet_alrp")
    assert answer.returncode != 0
    assert 'ImportError: mmdet_alrp does not fit' in answer.stderr
    assert 'without operators' in answer.stderr and '-m mmdet_alrp operators' in answer.stderr


def test_unfit_version_is_named_before_mmdet_asserts(tmp_path):
    info = tmp_path / 'mmcv-2.2.0.dist-info'
    info.mkdir()
    (info / 'METADATA').write_text('Metadata-Version: 2.1\nName: mmcv\nVersion: 2.2.0\n', 'utf-8')
    code = f'import sys\nsys.path.insert(0, {str(tmp_path)!r})\nimport mmdet_alrp'
    answer = run_python(code)
    assert answer.returncode != 0
    assert 'mmcv 2.2.0 does not fit; needed: mmcv>=2.0.0rc4,<2.2' in answer.stderr
    assert 'AssertionError' not in answer.stderr


TWO_OPENCV = """
from importlib import metadata
real, two = metadata.version, dict(zip(('opencv-python', 'opencv-python-headless'), VERSIONS))
metadata.version = lambda name: two.get(name) or real(name)
""".replace('VERSIONS', "('5.0.0.93', '4.14.0.94')")


def run_report(prelude: str = '') -> subprocess.CompletedProcess:
    # As `python -m` starts it, with something broken beforehand.
    start = "runpy.run_module('mmdet_alrp', run_name='__main__', alter_sys=True)"
    return run_python(f'import runpy, sys\n{prelude}\n{start}')


def test_report_of_this_environment():
    answer = subprocess.run(
        [sys.executable, '-m', 'mmdet_alrp'], capture_output=True, text=True, cwd=ROOT
    )
    assert 'Traceback' not in answer.stderr
    for name in (
        'python',
        'torch',
        'mmengine',
        'mmcv',
        'mmdet',
        'mmseg',
        'operators',
        'devices',
    ):
        assert f'\n{name} ' in '\n' + answer.stdout
    assert 'NMS works' in answer.stdout
    assert (answer.returncode == 0) == ('Everything fits.' in answer.stdout)


@pytest.mark.parametrize(
    ('prelude', 'expected'),
    [
        ("sys.modules['mmdet'] = None", 'mmdet is missing'),
        ("sys.modules['torch'] = None", 'torch is not installed'),
        ("sys.modules['mmcv._ext'] = None", 'without operators'),
        ("sys.modules['cv2'] = None", 'cannot be imported'),
        (TWO_OPENCV, "Run: pip install 'opencv-python==4.14.0.94' 'opencv-python-headless==4.14.0"),
    ],
)
def test_report_of_a_broken_environment(prelude, expected):
    answer = run_report(prelude)
    assert answer.returncode == 1, answer.stderr
    assert expected in answer.stdout.partition('To do:')[2]
    assert 'Traceback' not in answer.stderr + answer.stdout
