import importlib
import json

import pytest
from tiny_runs import REPO


@pytest.mark.parametrize(
    'row', [{'mIoU': 0.5, 'step': 0}, {'loss': None, 'epoch': 1, 'step': 5}], ids=['test', 'null']
)
def test_log_without_a_figure_to_draw_is_one_line(tmp_path, capsys, monkeypatch, row):
    monkeypatch.syspath_prepend(str(REPO / 'tools'))
    (tmp_path / 'scalars.json').write_text(json.dumps(row))
    assert importlib.import_module('analysis.plot_training').main([str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('plot_training.py: error: ') and 'nothing to draw' in line
    assert not (tmp_path / 'training.png').exists()
