import hashlib
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from tiny_runs import REPO, load_tool, run_here, run_tool

OPTIONS = ['--train', '70', '--val', '3', '--size', '64x48', '--seed', '5']


# What the tool drew before it had easy scenes: 4 and 2 images of 64 x 64
HARD_DIGESTS = {
    'manifest.json': 'c9a1eb621fbd',
    'train.json': '6be15a013464',
    'val.json': '1e21ff197d45',
}
HARD_COLOURS = {
    'train/000001.jpg': (107.24, 118.31, 37.79),
    'train/000004.jpg': (63.72, 211.87, 165.41),
    'val/000002.jpg': (211.26, 98.29, 117.35),
}


@pytest.fixture(scope='module')
def make_shapes():
    return load_tool('make_shapes').main


def digests(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob('*'))
        if path.is_file()
    }


def test_command_draws_the_set_and_does_nothing_the_second_time(tmp_path):
    result = run_tool('make_shapes.py', 'new/shapes', *OPTIONS, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    out = tmp_path / 'new' / 'shapes'
    assert sorted(path.name for path in out.iterdir()) == [
        'manifest.json',
        'train',
        'train.json',
        'val',
        'val.json',
    ]
    assert [path.name for path in out.parent.iterdir()] == ['shapes']
    content = json.loads((out / 'train.json').read_text())
    assert len(content['images']) == len(list((out / 'train').glob('*.jpg'))) == 70
    times = {path: path.stat().st_mtime_ns for path in out.rglob('*')}
    again = run_here('make_shapes.py', 'new/shapes', *OPTIONS, cwd=tmp_path)
    assert again.returncode == 0
    assert 'are there already' in again.stdout
    assert {path: path.stat().st_mtime_ns for path in out.rglob('*')} == times


def test_files_depend_on_the_seed_and_not_on_the_workers(make_shapes, tmp_path):
    for name, options in (
        ('one', ['--workers', '1']),
        ('three', ['--workers', '3']),
        ('other', ['--seed', '6']),
    ):
        assert make_shapes([str(tmp_path / name), *OPTIONS, *options]) == 0
    one, three, other = (digests(tmp_path / name) for name in ('one', 'three', 'other'))
    assert one == three
    assert one.keys() == other.keys()
    assert all(one[name] != other[name] for name in one)


def test_incomplete_set_is_not_taken_for_a_complete_one(make_shapes, tmp_path, capsys):
    out = tmp_path / 'shapes'
    options = [str(out), '--train', '4', '--val', '2', '--size', '64x64']
    assert make_shapes(options) == 0
    (out / 'train' / '000003.jpg').unlink()
    assert make_shapes(options) == 2
    assert make_shapes([*options, '--force']) == 0
    assert len(list((out / 'train').glob('*.jpg'))) == 4


def test_other_files_are_neither_overwritten_nor_removed(make_shapes, tmp_path, capsys):
    (tmp_path / 'notes.txt').write_text('mine')
    assert make_shapes([str(tmp_path), *OPTIONS]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert 'is not empty' in line
    assert '--force' in line
    assert [path.name for path in tmp_path.iterdir()] == ['notes.txt']
    assert make_shapes([str(tmp_path), *OPTIONS, '--force']) == 0
    assert (tmp_path / 'notes.txt').read_text() == 'mine'
    assert (tmp_path / 'val.json').is_file()


@pytest.mark.parametrize(
    ('options', 'expected'),
    [
        (['--size', '64'], 'must be WIDTHxHEIGHT'),
        (['--size', '8x8'], 'size must be 32 to 4096'),
        (['--train', '0'], 'train must be at least 1'),
        (['--seed', '-1'], 'seed must not be negative'),
        (['--classes', 'star', 'cube'], 'classes must be different ones of ellipse'),
        (['--classes', 'star', 'star'], 'classes must be different ones of ellipse'),
    ],
)
def test_wrong_option(make_shapes, tmp_path, capsys, options, expected):
    try:
        status = make_shapes([str(tmp_path / 'shapes'), *options])
    except SystemExit as stop:
        status = stop.code
    (line,) = capsys.readouterr().err.splitlines()
    assert status == 2
    assert expected in line
    assert not list(tmp_path.iterdir())


def test_hard_scenes_are_those_that_measured_results_were_trained_on(make_shapes, tmp_path):
    options = ['--train', '4', '--val', '2', '--size', '64x64']
    for name, scenes in (('hard', ['--scenes', 'hard']), ('easy', [])):
        assert make_shapes([str(tmp_path / name), *options, *scenes]) == 0
    hard, easy = (
        {name: digest[:12] for name, digest in digests(tmp_path / kind).items()}
        for kind in ('hard', 'easy')
    )
    assert {name: hard[name] for name in HARD_DIGESTS} == HARD_DIGESTS
    assert not set(hard.items()) & set(easy.items())
    for name, colour in HARD_COLOURS.items():  # the bytes depend on the coder of the JPEG
        found = cv2.imread(str(tmp_path / 'hard' / name)).mean((0, 1))
        np.testing.assert_allclose(found, colour, atol=0.5)


def test_fewer_classes_are_numbered_in_the_order_given(make_shapes, tmp_path):
    options = ['--train', '2', '--val', '2', '--classes', 'ring', 'ellipse']
    assert make_shapes([str(tmp_path / 'shapes'), *options]) == 0
    content = json.loads((tmp_path / 'shapes' / 'train.json').read_text())
    names = [(category['id'], category['name']) for category in content['categories']]
    assert names == [(1, 'ring'), (2, 'ellipse')]
    assert {annotation['category_id'] for annotation in content['annotations']} <= {1, 2}


def test_a_package_that_is_missing_is_one_line():
    tool = REPO / 'tools' / 'make_shapes.py'
    code = f"""
import runpy, sys
sys.modules['cv2'] = None
sys.argv = [{str(tool)!r}]
sys.path.insert(0, {str(tool.parent)!r})
runpy.run_path(sys.argv[0], run_name='__main__')
"""
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, cwd=REPO)
    assert done.returncode != 0
    assert done.stderr == 'make_shapes.py: error: cv2 is not installed: see docs/install.md\n'
