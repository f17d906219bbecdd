import cv2
import numpy as np
import pytest

from mmdet_alrp.segmentation.evaluation import (
    curves_of,
    load_curves,
    save_curve_plots,
    save_curves,
    sod_curves,
)


def some_curves(best):
    """Curves whose F is largest at threshold ``best`` / 255; nothing is found at the last one."""
    steps = np.arange(256)
    recall = 1 - steps / 255
    scores = {'F': 1 - np.abs(steps - best) / 300, 'E': recall, 'recall': recall}
    return curves_of({**scores, 'precision': np.where(recall > 0, 0.5 + steps / 510, 0)})


METHODS = {f'method {index}': some_curves(30 * index) for index in range(9)}


def test_what_is_saved_is_loaded(tmp_path):
    first, second = {'BCE': METHODS['method 1']}, {'F-measure é': METHODS['method 2']}
    files = [
        save_curves(tmp_path / 'a' / 'curves.json', first),
        save_curves(tmp_path / 'b' / 'curves.json', second),
    ]
    assert load_curves(*files) == {**first, **second}
    assert [file.name for file in files[0].parent.iterdir()] == ['curves.json']
    with pytest.raises(ValueError, match='curves of BCE already'):
        load_curves(files[0], files[0])


@pytest.mark.parametrize('content', ['[]', '{"a": 1}', '{"a": {"threshold": [0], "F": [1, 2]}}'])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / 'x.json'
    path.write_text(content)
    with pytest.raises(ValueError, match=r'x\.json is no file of saliency curves'):
        load_curves(path)


@pytest.mark.parametrize('count', [0, 1, 9])
def test_pictures_of_several_methods(tmp_path, count):
    methods = dict(list(METHODS.items())[:count])
    files = save_curve_plots(methods, tmp_path / 'new')
    assert [file.name for file in files] == ['pr_curve.png', 'f_threshold.png']
    for file in files:
        assert cv2.imread(str(file)).shape[2] == 3
    assert len(list((tmp_path / 'new').iterdir())) == 2


def test_lines_are_the_curves():
    figure = sod_curves.f_threshold_figure(METHODS)
    lines = figure.axes[0].lines
    assert len(lines) == 2 * len(METHODS)  # a line and a dot at its largest value
    for index, (name, curves) in enumerate(METHODS.items()):
        line, dot = lines[2 * index : 2 * index + 2]
        assert np.array_equal(line.get_ydata(), curves['F'])
        assert line.get_label().startswith(f'{name}: max 1.000, mean 0.')
        assert dot.get_xdata()[0] == pytest.approx(30 * index / 255)
    looks = {(line.get_color(), line.get_linestyle()) for line in lines[::2]}
    assert len(looks) == len(METHODS)
    line = sod_curves.precision_recall_figure(METHODS).axes[0].lines[0]
    assert np.array_equal(line.get_xdata(), METHODS['method 0']['recall'][:-1])
    assert np.array_equal(line.get_ydata(), METHODS['method 0']['precision'][:-1])


def test_a_failed_write_leaves_what_was_there(tmp_path, monkeypatch):
    path = save_curves(tmp_path / 'curves.json', {'a': METHODS['method 1']})
    before = path.read_bytes()

    def fail(self, target):
        raise OSError('disk full')

    monkeypatch.setattr(type(path), 'replace', fail)
    with pytest.raises(OSError, match='disk full'):
        save_curves(path, {'b': METHODS['method 2']})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ['curves.json']
