import json
import os
import sys
from pathlib import Path

import pytest
from tiny_runs import REPO, load_tool


@pytest.fixture(scope='module')
def benchmark():
    """The tool as a module, imported as when it is started."""
    here = Path(__file__).parent  # of a hook that the tiny config imports
    before = list(sys.path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PYTHONPATH', os.pathsep.join([str(REPO), str(here)]))
        sys.path.insert(0, str(REPO / 'tools' / 'benchmarks'))
        yield load_tool('benchmarks/calibration')
    sys.path[:] = before


@pytest.fixture(scope='module')
def finished(benchmark, trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp('benchmark')
    options = [f'focal={trained},{trained}', '--out', str(folder / 'out'), '--picture', 'focal']
    assert benchmark.main([*options, '--method', 'linear']) == 0
    return folder, options


def test_table_has_a_line_before_and_after_with_mean_and_spread(finished):
    folder, _ = finished
    lines = (folder / 'out' / 'calibration.md').read_text().splitlines()
    assert lines[2].startswith('| focal | 2 | raw | ')
    assert lines[3].startswith('| focal | 2 | calibrated | ') and '± 0.000' in lines[3]
    rows = json.loads((folder / 'out' / 'calibration.json').read_text())['rows']['focal']
    assert len(rows) == 2 and rows[0] == rows[1]
    assert rows[0]['raw']['AP'] == pytest.approx(rows[0]['calibrated']['AP'], abs=1e-9)
    assert rows[0]['raw']['LaECE_0'] != rows[0]['calibrated']['LaECE_0']


def test_pair_of_pictures_is_of_the_same_images(finished):
    folder, _ = finished
    drawn = [
        sorted(path.name for path in (folder / 'out' / kind).iterdir())
        for kind in ('raw', 'calibrated')
    ]
    assert drawn[0] == drawn[1] and 'contact_sheet.png' in drawn[0]


def test_detections_are_made_once(benchmark, finished, capsys):
    folder, options = finished
    found = folder / 'out' / 'detections' / '0_0.bbox.json'
    written = found.stat().st_mtime_ns
    assert benchmark.main([*options, '--method', 'platt']) == 0
    assert found.stat().st_mtime_ns == written
    printed = capsys.readouterr().out
    assert '| focal | 2 | calibrated | ' in printed and 'calibrated/contact_sheet.png' in printed


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['a=empty'], 'must hold one config, has 0'),
        (['a=untrained'], 'no checkpoint: train it first'),
        (['a'], 'NAME=FILE'),
        (['a=complete', '--picture', 'b'], 'there is no row b'),
    ],
)
def test_wrong_use_is_one_line(benchmark, tmp_path, monkeypatch, capsys, options, message):
    monkeypatch.chdir(tmp_path)
    for name, files in {'empty': [], 'untrained': ['c.py'], 'complete': ['c.py', 'e.pth']}.items():
        (tmp_path / name).mkdir()
        for file in files:
            (tmp_path / name / file).touch()
    assert benchmark.main([*options, '--out', 'out']) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('calibration.py: error: ') and message in line
