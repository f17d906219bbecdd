import json
import re
import sys
import sysconfig
import venv
from pathlib import Path

import mmdet
import pytest
import torch
from building import ROOT, run
from mmengine.config import Config

from mmdet_alrp.datasets import ShapesOptions, write_shapes
from mmdet_alrp.guards.checkpoint_safety import load_safely

BLOCK = re.compile(r'```python\n# (\S+\.py)\n(.*?)```', re.DOTALL)
STOCK_TRAIN = Path(mmdet.__file__).parent / '.mim' / 'tools' / 'train.py'
SWITCHED = {
    'atss': ['RankingATSSHead'],
    'foveabox': ['RankingFoveaHead'],
    'faster_rcnn': ['RankingRPNHead', 'RankingShared2FCBBoxHead'],
    'ap_retinanet': ['RankingRetinaHead'],
}
CHILD = """
_base_ = __import__('mmdet_alrp').config_path('alrp_retinanet_r50_500.py')
train_dataloader = dict(batch_size=3)
"""
# One program does it all, since each would import everything again. It reads a config that is based
# on one of ours, builds the switched configs, starts MMDetection's tool as a command line does, and
# says where everything came from.
PROGRAM = """
import functools, json, pathlib, runpy, sys
from mmdet.registry import MODELS
from mmengine.config import Config, utils
import mmdet.models
utils.load = functools.cache(utils.load)  # the indices of MMDetection's configs, for each of them
tool, names, *words = sys.argv[1:]
config = Config.fromfile('child.py')
resolved = config.model.bbox_head.type, config.train_dataloader.batch_size
pathlib.Path('child.json').write_text(json.dumps(resolved))
found = {}
for name in names.split(','):
    model = Config.fromfile(f'switched/{name}.py').model
    model.backbone.init_cfg = None
    kinds = {type(part).__name__ for part in MODELS.build(model).modules()}
    found[name] = sorted(kind for kind in kinds if kind.endswith('Head'))
pathlib.Path('switched.json').write_text(json.dumps(found))
sys.argv = [tool, *words]
runpy.run_path(tool, run_name='__main__')
origins = [sys.modules[name].__file__ for name in ('mmdet_alrp', 'my_project.my_dataset')]
paths = {str(pathlib.Path(path or '.').resolve()) for path in sys.path}
pathlib.Path('origins.json').write_text(json.dumps([origins, sorted(paths)]))
"""
SMALL = {
    'default_hooks.self_balance.interval': 1,  # two steps
    'train_cfg.max_epochs': 1,
    'train_dataloader.num_workers': 0,
    'train_dataloader.persistent_workers': False,
    'train_dataloader.batch_size': 4,
    'train_dataloader.dataset.pipeline.2.scale': '(64,64)',
    'val_dataloader.num_workers': 0,
    'val_dataloader.persistent_workers': False,
    'val_dataloader.dataset.pipeline.1.scale': '(64,64)',
    'model.backbone.depth': 18,
    'model.backbone.base_channels': 8,
    'model.backbone.init_cfg': None,
    'model.neck.in_channels': '[8,16,32,64]',
    'model.neck.out_channels': 16,
    'model.bbox_head.in_channels': 16,
    'model.bbox_head.feat_channels': 16,
    'default_hooks.logger.interval': 1,
}


@pytest.fixture(scope='module')
def project(tmp_path_factory):
    """The project that docs/your_project.md tells of, with drawn pictures as its data."""
    folder = tmp_path_factory.mktemp('somewhere') / 'project'
    for name, text in BLOCK.findall((ROOT / 'docs' / 'your_project.md').read_text('utf-8')):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, 'utf-8')
    (folder / 'my_project' / '__init__.py').touch()
    (folder / 'child.py').write_text(CHILD)
    write_shapes(
        folder / 'data', ShapesOptions(train=8, val=4, width=64, height=64, seed=1, scenes='hard')
    )
    return folder


@pytest.fixture(scope='module')
def python(wheel, tmp_path_factory):
    """An interpreter that has this machine's stack and, of this repository, the wheel alone."""
    folder = tmp_path_factory.mktemp('environment') / 'venv'
    venv.create(folder, symlinks=True)
    interpreter = folder / 'bin' / 'python'
    code = 'import sysconfig; print(sysconfig.get_path("purelib"))'
    site_packages = Path(run([interpreter, '-c', code], folder).stdout.strip())
    stack = {sysconfig.get_path('purelib'), sysconfig.get_path('platlib')}
    stack |= {str(Path(module.__file__).parents[1]) for module in (mmdet, torch)}
    # Paths of such a file are not searched for further .pth files: no editable install comes in.
    # From Python 3.12 on, setuptools brings the distutils that mmengine asks for by such a file.
    hook = Path(sysconfig.get_path('purelib'), 'distutils-precedence.pth')
    hooks = [hook.read_text()] if hook.is_file() else []
    (site_packages / 'stack.pth').write_text('\n'.join([*sorted(stack), *hooks]))
    options = ['--no-deps', '--no-index', '--no-compile', '--disable-pip-version-check', '--quiet']
    pip = [sys.executable, '-m', 'pip', '--python', interpreter, 'install', *options]
    run([*pip, '--force-reinstall', '--target', site_packages, wheel], folder)
    return interpreter


@pytest.fixture(scope='module')
def ran(project, python):
    """The project's folder after a training and the builds, outside of this repository."""
    options = [f'{key}={value}' for key, value in SMALL.items()]
    words = ['my_alrp_retinanet.py', '--cfg-options', *options]
    environment = {'CUDA_VISIBLE_DEVICES': '-1', 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(project)}
    command = [python, '-W', 'ignore', '-c', PROGRAM, STOCK_TRAIN, ','.join(SWITCHED), *words]
    run(command, project, **environment)
    return project


def test_project_trains_with_the_stock_tool_and_the_installed_wheel(ran, python):
    (package, dataset), paths = json.loads((ran / 'origins.json').read_text())
    assert Path(package).is_relative_to(python.parents[1])
    assert Path(dataset).is_relative_to(ran)
    assert str(ROOT) not in paths and str(ROOT / 'tools') not in paths

    work_dir = ran / 'work_dirs' / 'my_alrp_retinanet'
    checkpoint = load_safely(work_dir / 'epoch_1.pth')
    assert checkpoint['meta']['dataset_meta']['classes'] == ('ellipse', 'ring')
    assert checkpoint['state_dict']['bbox_head.retina_cls.weight'].size(0) == 9 * 2
    assert checkpoint['state_dict']['bbox_head.loss_cls.balance.ratio'] != 50
    (log,) = work_dir.glob('*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line['step'] for line in lines if 'loss_cls' in line] == [1, 2]
    assert {'coco/bbox_mAP', 'coco/bbox_oLRP'} <= lines[-1].keys()


def test_config_resolves_from_the_installed_wheel(ran):
    assert json.loads((ran / 'child.json').read_text()) == ['RankingRetinaHead', 3]


def test_switched_configs_build(ran):
    found = json.loads((ran / 'switched.json').read_text())
    for name, heads in SWITCHED.items():
        assert [kind for kind in found[name] if kind.startswith('Ranking')] == heads


@pytest.mark.parametrize('name', ['my_alrp_retinanet', *(f'switched/{name}' for name in SWITCHED)])
def test_every_config_imports_the_package(name, project):
    # In one program, and so in one of a user's, the first config does it for all.
    cfg = Config.fromfile(project / f'{name}.py', import_custom_modules=False)
    assert 'mmdet_alrp' in cfg.custom_imports.imports


def test_page_says_what_the_test_runs():
    names = [name for name, _ in BLOCK.findall((ROOT / 'docs' / 'your_project.md').read_text())]
    expected = {'my_project/my_dataset.py', 'my_retinanet.py', 'my_alrp_retinanet.py'}
    assert set(names) == expected | {f'switched/{name}.py' for name in SWITCHED}
