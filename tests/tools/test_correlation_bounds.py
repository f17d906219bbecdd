import importlib
import json

import pytest


@pytest.fixture(scope='module')
def tool():
    return importlib.import_module('analysis.correlation_bounds')


def write(folder, detections):
    """Three objects of one class in three images; detections as (image, width, score)."""
    truth = {
        'images': [{'id': i, 'width': 100, 'height': 100} for i in (1, 2, 3)],
        'categories': [{'id': 7, 'name': 'cat'}],
        'annotations': [
            {'id': i, 'image_id': i, 'category_id': 7, 'bbox': [0, 0, 10, 10]} for i in (1, 2, 3)
        ],
    }
    found = [
        {'image_id': image, 'category_id': 7, 'bbox': [0, 0, width, 10], 'score': score}
        for image, width, score in detections
    ]
    paths = folder / 'gt.json', folder / 'dt.json'
    for path, content in zip(paths, (truth, found), strict=True):
        path.write_text(json.dumps(content))
    return [str(path) for path in paths]


def table_of(text):
    rows = [line.split() for line in text.splitlines()]
    return {row[0]: row[1:] for row in rows[1:] if len(row) == 4}


# IoU .6, 1 and .8 with scores .9, .8 and .7: neither the order of IoU nor its inverse
MIXED = [(1, 6, 0.9), (2, 10, 0.8), (3, 8, 0.7)]


def test_table_and_file_by_hand(tool, tmp_path, capsys):
    out = tmp_path / 'made' / 'bounds.json'
    assert tool.main([*write(tmp_path, MIXED), '--json', str(out)]) == 0
    printed = capsys.readouterr().out
    table = table_of(printed)
    assert printed.splitlines()[0].split('  ')[-3:] == ['lower bound', 'as it is', 'upper bound']
    assert [float(value) for value in table['rho']] == [-1.0, -0.5, 1.0]
    assert table['AP50'] == ['1.0000'] * 3
    # at IoU .75 two of three are right: first and third from the top in the lower bound's order
    # (IoU .6 .8 1): precision 0, 1/2, 2/3, which interpolates to 2/3 up to recall 2/3
    recalls = 67 / 101  # of the 101 points those up to a recall of 2/3
    lower, given, upper = (float(value) for value in table['AP75'])
    assert lower == pytest.approx(2 / 3 * recalls, abs=1e-4)
    assert given == pytest.approx(2 / 3 * recalls, abs=1e-4)
    assert upper == pytest.approx(recalls, abs=1e-4)
    stored = json.loads(out.read_text())
    assert list(stored) == ['lower', 'given', 'upper']
    assert stored['given']['rho'] == pytest.approx(-0.5)
    assert stored['upper']['AP75'] == pytest.approx(recalls)


def test_tau_moves_the_localisation_error_alone(tool, tmp_path, capsys):
    files = write(tmp_path, MIXED)
    olrp = {}
    for tau in ('0.5', '0.55'):
        assert tool.main([*files, '--tau', tau]) == 0
        olrp[tau] = float(table_of(capsys.readouterr().out)['oLRP'][1])
    # mean of 1 - IoU is .2; all three objects are found, so oLRP is .2 / (1 - tau)
    assert olrp == {'0.5': pytest.approx(0.4, abs=1e-4), '0.55': pytest.approx(0.4444, abs=1e-4)}


def test_undefined_figures_are_dashes(tool, tmp_path, capsys):
    out = tmp_path / 'bounds.json'
    assert tool.main([*write(tmp_path, []), '--json', str(out)]) == 0
    assert table_of(capsys.readouterr().out)['rho'] == ['-'] * 3
    assert json.loads(out.read_text())['given']['rho'] is None


def test_real_detections_lie_between_the_bounds(tool, shared_data, tmp_path, capsys):
    folder = shared_data / 'coco_val2014_100'
    files = [
        str(folder / name) for name in ('instances_val2014_100.json', 'fakebbox100_results.json')
    ]
    assert tool.main(files) == 0
    table = table_of(capsys.readouterr().out)
    assert float(table['AP'][1]) == pytest.approx(0.5046, abs=1e-4)  # pycocotools' own figure
    for figure in ('AP', 'AP75', 'rho'):
        lower, given, upper = map(float, table[figure])
        assert lower < given < upper
    assert len(set(table['AP50'])) == 1


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--iou-type', 'segm'], 'segmentation'),
        (['--json', '{gt}/below'], 'gt.json'),
    ],
)
def test_wrong_options_are_one_line(tool, tmp_path, capsys, options, message):
    files = write(tmp_path, MIXED)
    assert tool.main([*files, *(option.format(gt=files[0]) for option in options)]) == 2
    error = capsys.readouterr().err
    assert error.count('\n') == 1
    assert error.startswith('correlation_bounds.py: error: ') and message in error


@pytest.mark.parametrize('tau', ['1', 'nan'])
def test_wrong_tau_is_one_line(tool, tmp_path, capsys, tau):
    with pytest.raises(SystemExit, match='2'):
        tool.main([*write(tmp_path, MIXED), '--tau', tau])
    error = capsys.readouterr().err
    assert 'argument --tau: must be a number between 0 and 1' in error and error.count('\n') == 1


def test_missing_files(tool, tmp_path, capsys):
    gt, _ = write(tmp_path, MIXED)
    assert tool.main([gt, str(tmp_path / 'gone.json')]) == 2
    assert 'gone.json' in capsys.readouterr().err
