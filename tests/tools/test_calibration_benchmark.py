import json

import pytest
from tiny_runs import EPOCHS, run_tool


def run(*options, cwd):
    return run_tool('benchmarks/calibration.py', *options, cwd=cwd)


@pytest.fixture(scope='module')
def finished(trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp('benchmark')
    options = (f'focal={trained},{trained}', '--out', 'out', '--picture', 'focal')
    done = run(*options, '--method', 'linear', cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, options, done.stdout


def test_table_has_a_line_before_and_after_with_mean_and_spread(finished):
    folder, _, printed = finished
    lines = (folder / 'out' / 'calibration.md').read_text().splitlines()
    assert lines[2].startswith('| focal | 2 | raw | ')
    assert lines[3].startswith('| focal | 2 | calibrated | ') and '± 0.000' in lines[3]
    assert lines[3] in printed
    rows = json.loads((folder / 'out' / 'calibration.json').read_text())['rows']['focal']
    assert len(rows) == 2 and rows[0] == rows[1]
    assert rows[0]['raw']['AP'] == pytest.approx(rows[0]['calibrated']['AP'], abs=1e-9)
    assert rows[0]['raw']['LaECE_0'] != rows[0]['calibrated']['LaECE_0']


def test_pair_of_pictures_is_of_the_same_images(finished):
    folder, _, printed = finished
    drawn = [
        sorted(path.name for path in (folder / 'out' / kind).iterdir())
        for kind in ('raw', 'calibrated')
    ]
    assert drawn[0] == drawn[1] and 'contact_sheet.png' in drawn[0]
    assert 'out/calibrated/contact_sheet.png' in printed


def test_detections_are_made_once(finished):
    folder, options, _ = finished
    found = folder / 'out' / 'detections' / '0_0.bbox.json'
    written = found.stat().st_mtime_ns
    assert run(*options, '--method', 'platt', cwd=folder).returncode == 0
    assert found.stat().st_mtime_ns == written


def test_wrong_use_is_one_line(trained, tmp_path):
    (tmp_path / 'empty').mkdir()
    (tmp_path / 'untrained').mkdir()
    (tmp_path / 'untrained' / 'config.py').touch()
    cases = {
        ('a=empty',): 'must hold one config, has 0',
        ('a=untrained',): 'no checkpoint: train it first',
        ('a',): 'NAME=FILE',
        (f'a={trained}', '--picture', 'b'): 'there is no row b',
    }
    for options, message in cases.items():
        done = run(*options, '--out', 'out', cwd=tmp_path)
        line = done.stderr.splitlines()[-1]
        assert done.returncode == 2 and line.startswith('calibration.py: error: ')
        assert message in line and 'Traceback' not in done.stderr
    assert (trained / f'epoch_{EPOCHS}.pth').is_file()
