"""The benchmark of the evaluation compares like with like and says so."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / 'tools' / 'benchmarks'
SIDES = ['AP alone', 'AP and oLRP', 'AP and oLRP, tau .62', 'as CocoLRPMetric']


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import evaluation

    return evaluation


def test_table_and_json(tmp_path):
    pytest.importorskip('faster_coco_eval', reason='faster-coco-eval is optional')
    out = tmp_path / 'evaluation.json'
    command = [sys.executable, str(BENCHMARKS / 'evaluation.py'), '--images', '12']
    command += ['--repeat', '2', '--device', 'cpu', '--json', str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'the same on all sides to the last bit' in done.stdout
    rows = json.loads(out.read_text())['rows']
    names = [(b, side) for b in ('pycocotools', 'faster_coco_eval') for side in SIDES]
    assert [(row['backend'], row['what']) for row in rows] == names
    lines = [line for line in done.stdout.splitlines() if line.startswith('|')][2:]
    for row, line in zip(rows, lines, strict=True):
        best, first = min(row['cpu_seconds']), min(rows[0]['cpu_seconds'])
        assert len(row['cpu_seconds']) == 2 and best > 0
        assert row['of_pycocotools'] == pytest.approx(best / first)
        cells = f'| {row["backend"]} | {row["what"]} | {best:.2f} | {row["of_pycocotools"]:.2f} |'
        assert line.startswith(cells)
    assert rows[0]['of_the_same'] == rows[4]['of_the_same'] == 1


def test_without_faster_coco_eval(bench, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, 'faster_coco_eval', None)
    assert bench.main(['--images', '3', '--repeat', '1']) == 0
    printed = capsys.readouterr().out
    assert 'pip install faster-coco-eval' in printed and '| faster_coco_eval' not in printed


def test_other_numbers_are_reported(bench, monkeypatch, capsys):
    monkeypatch.setattr(bench, 'as_the_metric', lambda gt, dt, backend: {'AP': 0.5, 'oLRP': 0.5})
    assert bench.main(['--images', '3', '--repeat', '1']) == 1
    printed = capsys.readouterr().out
    assert 'AP of pycocotools, as CocoLRPMetric: 0.5, not' in printed
    assert 'oLRP of pycocotools, as CocoLRPMetric: 0.5, not' in printed


@pytest.mark.parametrize(
    'options',
    [['--device', 'cuda'], ['--images', '0'], ['--json', '/none/there/out.json']],
    ids=lambda options: options[0],
)
def test_wrong_options_are_one_line(bench, capsys, options):
    with pytest.raises(SystemExit) as stop:
        bench.main(options)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith('evaluation.py: error: ') and error.count('\n') == 1
    assert options[0] in error
