"""The benchmark of rankings over processes runs, counts what travels, and refuses wrong use."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / 'tools' / 'benchmarks'
NUM_LOGITS, NUM_POS = 20000, 30


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp('global_benchmark') / 'times.json'
    command = [sys.executable, str(BENCHMARKS / 'global_ranking.py'), '--json', str(out)]
    command += ['--logits', '2e4', '--positives', str(NUM_POS), '--processes', '2']
    command += ['--images', '3', '--repeat', '1']
    done = subprocess.run(command, capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    return done.stdout, out


def test_table_and_json(finished):
    printed, out = finished
    rows = [line for line in printed.splitlines() if line.startswith('|')]
    assert len(rows) == 2 + 4 + 4  # head, rule, four losses by image and over two processes
    assert [row.split('|')[2].strip() for row in rows[2:]] == ['image'] * 4 + ['global'] * 4
    written = json.loads(out.read_text())
    assert (written['logits'], written['images'], written['torch']) == (2e4, 3, torch.__version__)
    assert len(written['rows']) == 8
    assert all(row['scope_seconds'] > 0 < row['process_seconds'] for row in written['rows'])
    assert [path.name for path in out.parent.iterdir()] == ['times.json']


def test_only_positives_and_tables_travel(finished):
    rows = json.loads(finished[1].read_text())['rows']
    for row in rows[:4]:
        assert row['collectives'] == row['bytes'] == 0
    # At least the logits of the own positives; at most them, their errors and a few tables of two
    # numbers for the two breakpoints of each of all positives.
    for row in rows[4:]:
        assert row['collectives'] >= 3
        assert 4 * NUM_POS < row['bytes'] < 4 * 2 * 2 * 8 * 2 * NUM_POS < 4 * NUM_LOGITS


@pytest.mark.parametrize(
    ('args', 'said'),
    [
        (['--logits', '10', '--positives', '20'], '20 positives do not fit into 10 logits'),
        (['--logits', '10', '--positives', '2', '--images', '11'], '11 images are more than 10'),
        (['--processes', '1'], '--processes must be 2 or more'),
        (['--logits', '1.5'], 'whole number'),
        (['--json', 'no/such/folder/x.json'], 'no folder no/such/folder'),
        (['--repeat', '0'], '--repeat'),
    ],
)
def test_wrong_arguments(args, said, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import global_ranking

    with pytest.raises(SystemExit) as caught:
        global_ranking.main(args)
    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert said in err and err.count('\n') == 1
    assert out == ''
