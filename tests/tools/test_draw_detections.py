import pytest
from tiny_runs import REPO, load_tool


@pytest.mark.parametrize('count', ['0', '-3', 'few'])
def test_count_must_be_positive(count, capsys, monkeypatch):
    monkeypatch.syspath_prepend(REPO / 'tools')
    with pytest.raises(SystemExit) as exit_info:
        load_tool('analysis/draw_detections').main(['gt', 'dt', 'in', 'out', '--count', count])
    assert exit_info.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('draw_detections.py: error: ')
    assert '--count' in line
