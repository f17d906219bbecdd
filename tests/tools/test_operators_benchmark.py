"""The benchmark of mmcv's operators times what it names."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

LOOKUP = 'mmdet_alrp.operators.lookup'
pytest.importorskip(LOOKUP, reason='the operators need torchvision', exc_type=ImportError)
TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'benchmarks' / 'operators.py'


def test_table_and_json(tmp_path):
    out = tmp_path / 'operators.json'
    small = ['--boxes', '20', '--rois', '4', '--size', '9', '--channels', '4', '--repeat', '1']
    command = [sys.executable, str(TOOL), *small, '--threads', '1', '--json', str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [line.strip('| ').split(' | ')[0] for line in done.stdout.splitlines() if '|' in line]
    written = json.loads(out.read_text())
    assert rows[2:] == list(written['seconds']) and len(rows) == 8
    assert all(times['torchvision'] > 0 for times in written['seconds'].values())
    assert (written['threads'], written['size'], written['rois']) == (1, 9, 4)
