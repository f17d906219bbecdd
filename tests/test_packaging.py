import shutil
import sys
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

import pytest
from building import call_backend, run
from mmengine.config import Config

from mmdet_alrp import config_files

ROOT = Path(__file__).resolve().parent.parent
FIND = "print(__import__('mmdet_alrp').config_path('alrp_retinanet_r50_500.py'))"


def test_wheel_carries_every_config_and_what_users_run(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    tools = [*(ROOT / 'tools').glob('*.py'), *(ROOT / 'tools' / 'analysis').glob('*.py')]
    for file in (*(ROOT / 'configs').rglob('*.py'), *tools):
        carried = f'mmdet_alrp/.mim/{file.relative_to(ROOT).as_posix()}' in names
        assert carried == (file.name not in ('demo.py', 'setup_env.py')), file
    assert not [name for name in names if '/tools/benchmarks/' in name]
    assert 'mmdet_alrp/.mim/model-index.yml' in names
    assert not [name for name in names if '__pycache__' in name or name.startswith('tests/')]


def test_mim_finds_every_config_of_the_wheel_by_its_name(wheel):
    # It looks for the name in the whole package, and takes no config that has a namesake.
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    namesakes = Counter(PurePosixPath(name).name for name in names)
    configs = [name for name in names if '/.mim/configs/' in name and '/_base_/' not in name]
    assert [name for name in configs if namesakes[PurePosixPath(name).name] > 1] == []
    assert 'mmdet_alrp/.mim/configs/alrp_retinanet_r18_shapes.py' in configs
    assert 'mmdet_alrp/.mim/configs/metafile.yml' in configs  # what model-index.yml imports


def test_wheel_does_not_pull_the_stack(wheel):
    with zipfile.ZipFile(wheel) as archive:
        file = next(name for name in archive.namelist() if name.endswith('.dist-info/METADATA'))
        lines = archive.read(file).decode().splitlines()
    needed = {
        line.partition(': ')[2]
        for line in lines
        if line.startswith('Requires-Dist: ') and 'extra ==' not in line
    }
    assert needed == {'numpy', 'pycocotools'}
    optional = {line.partition(': ')[2] for line in lines if 'extra ==' in line}
    assert {'mmsegmentation; extra == "seg"', 'pysodmetrics; extra == "seg"'} <= optional
    assert 'faster-coco-eval; extra == "fast"' in optional
    assert 'scikit-learn; extra == "calibration"' in optional


def test_editable_install_links_to_the_sources(source, tmp_path):
    copy = tmp_path / 'editable source'
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns('build', '*.egg-info'))
    wheel = call_backend('build_editable', copy, tmp_path / 'dist')
    with zipfile.ZipFile(wheel) as archive:
        assert not [name for name in archive.namelist() if '.mim/' in name]
    link = copy / 'mmdet_alrp' / '.mim' / 'configs'
    assert link.is_symlink() and link.samefile(copy / 'configs')
    found = run([sys.executable, '-W', 'ignore', '-c', FIND], tmp_path, PYTHONPATH=str(copy))
    path = Path(found.stdout.splitlines()[-1])
    assert path.is_relative_to(copy)
    child = tmp_path / 'child.py'
    child.write_text(f'_base_ = {str(path)!r}\ntrain_dataloader = dict(batch_size=3)\n', 'utf-8')
    config = Config.fromfile(child)
    assert config.model.bbox_head.type == 'RankingRetinaHead'
    assert config.train_dataloader.batch_size == 3


def test_rebuilt_wheel_drops_a_deleted_config(source, tmp_path):
    copy = tmp_path / 'source'
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns('build', '*.egg-info'))
    extra = copy / 'configs' / 'soon_gone.py'
    extra.write_text('x = 1\n', 'utf-8')
    first = call_backend('build_wheel', copy, tmp_path / 'first')
    extra.unlink()
    second = call_backend('build_wheel', copy, tmp_path / 'second')
    name = 'mmdet_alrp/.mim/configs/soon_gone.py'
    assert name in zipfile.ZipFile(first).namelist()
    assert name not in zipfile.ZipFile(second).namelist()


def test_sdist_builds_the_same_wheel(source, wheel, tmp_path):
    sdist = call_backend('build_sdist', source, tmp_path / 'sdist')
    shutil.unpack_archive(sdist, tmp_path / 'unpacked')
    (unpacked,) = (tmp_path / 'unpacked').iterdir()
    again = call_backend('build_wheel', unpacked, tmp_path / 'again')
    assert set(zipfile.ZipFile(again).namelist()) == set(zipfile.ZipFile(wheel).namelist())


def test_unknown_config_names_the_known_ones(monkeypatch, tmp_path):
    with pytest.raises(FileNotFoundError, match=r'has no config .*alrp_retinanet_r50_500\.py'):
        config_files.config_path('no_such.py')
    with pytest.raises(FileNotFoundError, match=r'it has: .*segmentation/ce_pspnet_r101_voc\.py'):
        config_files.config_path('segmentation/no_such.py')
    monkeypatch.setattr(config_files, 'PACKAGE', tmp_path / 'mmdet_alrp')
    with pytest.raises(FileNotFoundError, match='nor any in'):
        config_files.config_path('no_such.py')
