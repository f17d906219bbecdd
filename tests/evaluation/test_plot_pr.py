import json

import numpy as np
import pytest
from analysis_tools import analysis
from scenes import random_scene

from mmdet_alrp.evaluation import evaluate_lrp, load_detections
from mmdet_alrp.evaluation.coco_matching import index_coco


@pytest.fixture(scope='module')
def results():
    """Two result files over one ground truth, without ties, by name: detections of each."""
    scene = random_scene(3, num_images=14)
    coco_gt = index_coco({key: scene[key] for key in ('images', 'annotations', 'categories')})
    rng = np.random.default_rng(0)
    files = {}
    for name, share in (('all', 1.0), ('half', 0.5)):
        kept = [det for det in scene['detections'] if rng.random() < share]
        scored = [{**det, 'score': float(rng.random())} for det in kept]
        files[name] = load_detections(coco_gt, scored, 'bbox')
    return coco_gt, files


@pytest.mark.parametrize('tau', [0.5, 0.6])
def test_points_and_texts_are_those_of_the_evaluator(results, tau):
    coco_gt, files = results
    judge = analysis('judged_results').judge
    judged = {name: judge(coco_gt, coco_dt, tau) for name, coco_dt in files.items()}
    figure = analysis('plot_pr').pr_figure(judged)
    reports = {name: evaluate_lrp(coco_gt, coco_dt, tau=tau) for name, coco_dt in files.items()}
    known = [c for c in reports['all'].classes if c.num_gt]
    assert len(figure.axes) == len(known) == 4
    counts = [int(axes.get_title().split('(')[1].split()[0]) for axes in figure.axes]
    assert counts == sorted((c.num_gt for c in known), reverse=True)
    for axes in figure.axes:
        marks = [line for line in axes.lines if line.get_linestyle() == 'None']
        texts = [text.get_text() for text in axes.get_legend().get_texts()]
        for mark, text, (name, report) in zip(marks, texts, reports.items(), strict=True):
            (c,) = (c for c in report.classes if c.name == axes.get_title().split(' (')[0])
            best = c.best
            assert mark.get_xdata() == pytest.approx([1 - best.fn], nan_ok=True)
            assert mark.get_ydata() == pytest.approx([1 - best.fp], nan_ok=True)
            assert text.startswith(f'{name}: AP ') and f'oLRP {best.olrp:.3f}' in text
            if np.isnan(best.threshold):
                assert 'no true positive' in text
                continue
            assert f'at score ≥ {best.threshold:.3g}\n' in text
            assert f'Loc {best.loc:.3f}, FP {best.fp:.3f}, FN {best.fn:.3f}' in text
            if tau == 0.5:
                assert f'AP {c.ap50:.3f}, ' in text
    below = figure.get_supxlabel()
    for name, report in reports.items():
        assert f'{name}: AP ' in below and f'oLRP {report.lrp()["oLRP"]:.3f} (' in below
        assert tau != 0.5 or f'{name}: AP {report.ap["AP50"]:.3f}' in below


def test_area_under_the_drawn_curve_is_ap(results):
    coco_gt, files = results
    report = evaluate_lrp(coco_gt, files['all'])
    compared = 0
    for c in report.classes:
        if c.curve is None:
            continue
        recall, precision = analysis('plot_pr').interpolated(c.curve)
        places = np.searchsorted(recall, np.linspace(0, 1, 101))
        area = np.append(precision, 0.0)[places].mean()
        assert area == pytest.approx(c.ap50, abs=1e-9)
        compared += c.ap50 > 0
    assert compared >= 2


def truth(folder):
    """Two boxes of the class 'cat', none of the class 'dog', and a result with one of them."""
    box = {'image_id': 1, 'category_id': 1, 'bbox': [10, 10, 40, 30]}
    objects = [{**box, 'id': 1}, {**box, 'id': 2, 'bbox': [60, 60, 9, 9]}]
    names = [{'id': 1, 'name': 'cat'}, {'id': 2, 'name': 'dog'}]
    content = {'images': [{'id': 1}], 'categories': names, 'annotations': objects}
    (folder / 'truth.json').write_text(json.dumps(content))
    (folder / 'none.json').write_text(json.dumps({**content, 'annotations': []}))
    (folder / 'found.json').write_text(json.dumps([{**box, 'score': 0.25}]))
    (folder / 'empty.json').write_text('[]')
    return folder


def arguments(folder, *options):
    words = ['--ann', f'{folder}/truth.json', '--out', f'{folder}/new/pr.png']
    return [
        *words,
        '--results',
        f'mine={folder}/found.json',
        f'empty={folder}/empty.json',
        *options,
    ]


def test_tool_writes_a_png_and_says_the_means(tmp_path, capsys):
    tool = analysis('plot_pr')
    assert tool.main(arguments(truth(tmp_path), '--class', 'cat', '--iou', '0.7')) == 0
    assert capsys.readouterr().out.splitlines() == [
        'mine: AP 0.505, oLRP 0.500 (Loc 0.000, FP 0.000, FN 0.500)',
        'empty: AP 0.000, oLRP 1.000 (Loc nan, FP nan, FN 1.000)',
        f'{tmp_path}/new/pr.png',
    ]
    assert (tmp_path / 'new' / 'pr.png').read_bytes().startswith(b'\x89PNG')
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['pr.png']


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['--class', 'cow'], "there is no class 'cow'; there are cat, dog"),
        (['--class', 'dog'], "no object of the class 'dog'"),
        (['--ann', '{folder}/none.json'], 'has no objects'),
        (['--ann', '{folder}/gone.json'], 'gone.json: cannot be read'),
        (['--results', 'mine'], "NAME=FILE, got 'mine'"),
        (['--out', '{folder}'], 'cannot be written'),
    ],
)
def test_wrong_input_is_one_line(tmp_path, capsys, options, message):
    words = arguments(truth(tmp_path), *(option.format(folder=tmp_path) for option in options))
    assert analysis('plot_pr').main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('plot_pr.py: error: ') and message in line
    assert not (tmp_path / 'new').exists()


@pytest.mark.parametrize('iou', ['0', '1', 'nan', 'half'])
def test_wrong_iou_is_one_line(tmp_path, capsys, iou):
    with pytest.raises(SystemExit) as exit_info:
        analysis('plot_pr').main(arguments(tmp_path, '--iou', iou))
    assert exit_info.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('plot_pr.py: error: ') and '--iou' in line
