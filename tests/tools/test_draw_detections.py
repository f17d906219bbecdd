import json

import pytest
from pycocotools.coco import COCO
from tiny_runs import REPO, load_tool

from mmdet_alrp.evaluation import evaluate_lrp, load_detections


@pytest.mark.parametrize('count', ['0', '-3', 'few'])
def test_count_must_be_positive(count, capsys, monkeypatch):
    monkeypatch.syspath_prepend(REPO / 'tools')
    with pytest.raises(SystemExit) as exit_info:
        load_tool('analysis/draw_detections').main(['gt', 'dt', 'in', 'out', '--count', count])
    assert exit_info.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('draw_detections.py: error: ')
    assert '--count' in line


def test_two_classes_of_one_name_have_thresholds_of_their_own(monkeypatch):
    monkeypatch.syspath_prepend(REPO / 'tools')
    coco_gt, box = COCO(), [0, 0, 10, 10]
    categories = [(1, 'cat'), (2, 'owl'), (3, 'cat')]
    coco_gt.dataset = {
        'images': [{'id': 1, 'width': 20, 'height': 20}],
        'categories': [{'id': cat_id, 'name': name} for cat_id, name in categories],
        'annotations': [
            {'id': i, 'image_id': 1, 'category_id': i, 'bbox': box, 'area': 100, 'iscrowd': 0}
            for i in (1, 2, 3)
        ],
    }
    coco_gt.createIndex()
    scores = {1: 0.9, 2: 0.5, 3: 0.25}
    right = [
        {'image_id': 1, 'category_id': cat_id, 'bbox': box, 'score': score}
        for cat_id, score in scores.items()
    ]
    wrong = [{**det, 'bbox': [10, 10, 5, 5], 'score': det['score'] - 0.1} for det in right]
    found = [*right, *wrong]
    thresholds = evaluate_lrp(coco_gt, load_detections(coco_gt, found, 'bbox')).thresholds()
    assert thresholds == pytest.approx({'cat (1)': 0.9, 'owl': 0.5, 'cat (3)': 0.25})
    shown = load_tool('analysis/draw_detections').above_thresholds(coco_gt, found, thresholds)
    assert shown == right[::-1]


def test_score_that_is_none_is_refused_as_test_py_does(capsys, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(REPO / 'tools')
    files = [tmp_path / name for name in ('gt.json', 'dt.json', 'cuts.json')]
    contents = ({'images': [], 'annotations': [], 'categories': []}, [], {'cat': 1.5})
    for file, content in zip(files, contents, strict=True):
        file.write_text(json.dumps(content))
    gt, dt, cuts = map(str, files)
    arguments = [gt, dt, str(tmp_path), str(tmp_path / 'out'), '--thresholds', cuts]
    assert load_tool('analysis/draw_detections').main(arguments) == 2
    line = capsys.readouterr().err
    assert "the threshold of 'cat' must be a score in [0, 1] or null, got 1.5" in line
