import json

import cv2
import numpy as np
import pytest
from analysis_tools import analysis
from scenes import SIZE, random_scene

from mmdet_alrp.evaluation import evaluate_lrp, load_detections
from mmdet_alrp.evaluation.coco_matching import index_coco


def coco_of(scene):
    coco_gt = index_coco({key: scene[key] for key in ('images', 'annotations', 'categories')})
    return coco_gt, load_detections(coco_gt, scene['detections'], 'bbox')


@pytest.mark.parametrize('tau', [0.5, 0.62])
@pytest.mark.parametrize(('seed', 'crowded'), [(0, False), (1, True), (2, False)])
def test_boxes_of_all_images_add_up_to_the_figures_of_the_evaluator(seed, crowded, tau):
    judged = analysis('judged_results')
    scene = random_scene(seed, num_images=12, crowded=crowded)
    coco_gt, coco_dt = coco_of(scene)
    expected = evaluate_lrp(coco_gt, coco_dt, tau=tau)
    result = judged.judge(coco_gt, coco_dt, tau)
    boxes = [box for i in coco_gt.imgs for box in judged.boxes_of_image(result, i)]
    compared = 0
    for c in expected.classes:
        own = [box for box in boxes if box.name == c.name]
        true = [1 - box.iou for box in own if box.iou is not None]
        false = sum(box.score is not None and box.iou is None for box in own)
        missed = sum(box.score is None for box in own)
        assert len(true) + missed == c.num_gt
        if np.isnan(c.best.threshold):
            assert not true and not false
            continue
        assert min(box.score for box in own if box.score is not None) == c.best.threshold
        assert np.mean(true) == pytest.approx(c.best.loc)
        assert false / (len(true) + false) == pytest.approx(c.best.fp)
        assert missed / c.num_gt == pytest.approx(c.best.fn)
        compared += 1
    assert compared >= 2


@pytest.fixture
def files(tmp_path):
    """Two images with an object each; `good` finds both, `poor` one, and invents another."""
    images = [{'id': i, 'file_name': f'{i}.png', 'width': 80, 'height': 60} for i in (1, 2)]
    found = [{'image_id': i, 'category_id': 1, 'bbox': [10, 10, 40, 30]} for i in (1, 2)]
    objects = [{**box, 'id': i, 'area': 1200, 'iscrowd': 0} for i, box in enumerate(found, 1)]
    truth = {'images': images, 'categories': [{'id': 1, 'name': 'cat'}], 'annotations': objects}
    poor = [{**found[0], 'bbox': [10, 10, 40, 24], 'score': 0.7}]
    poor.append({**found[0], 'bbox': [60, 40, 10, 10], 'score': 0.7})
    contents = {'truth': truth, 'poor': poor, 'good': [{**box, 'score': 0.9} for box in found]}
    for name, content in contents.items():
        (tmp_path / f'{name}.json').write_text(json.dumps(content))
    for i in (1, 2):
        cv2.imwrite(str(tmp_path / f'{i}.png'), np.full((60, 80, 3), 60 * i, np.uint8))
    return tmp_path


def arguments(files, *options, results=('good', 'poor')):
    named = [f'{name}={files}/{name}.json' for name in results]
    words = ['--ann', f'{files}/truth.json', '--img-dir', str(files)]
    return [*words, '--results', *named, '--out', f'{files}/new/out.png', *options]


def test_tool_writes_what_each_detector_finds_invents_and_misses(files, capsys):
    tool = analysis('compare_detections')
    assert tool.main(arguments(files)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        'good: 2 true, 0 false, 0 missed',
        'poor: 1 true, 1 false, 1 missed',
        f'{files}/new/out.png',
    ]
    assert (files / 'new' / 'out.png').read_bytes().startswith(b'\x89PNG')
    assert [path.name for path in (files / 'new').iterdir()] == ['out.png']
    assert tool.main(arguments(files, '--images', '2')) == 0
    assert 'poor: 0 true, 0 false, 1 missed' in capsys.readouterr().out


def test_panels_show_classes_scores_and_ious(files):
    tool = analysis('compare_detections')
    coco_gt = tool.read_ground_truth(files / 'truth.json', 'bbox')
    results = tool.judge_files(coco_gt, [f'poor={files}/poor.json'], 0.5)
    figure = tool.comparison_figure(coco_gt, results, tool.read_images(coco_gt, files, [1, 2]))
    texts = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert texts == [['cat'], ['cat 0.70 IoU 0.80', 'cat 0.70'], ['cat'], ['cat']]
    dashed = [
        sum(p.get_linestyle() not in ('-', 'solid') for p in axes.patches) for axes in figure.axes
    ]
    assert dashed == [0, 0, 0, 1]


def test_labels_stay_in_the_image_and_make_room_for_each_other():
    from matplotlib.figure import Figure

    tool = analysis('compare_detections')
    boxes = [tool.JudgedBox((5, 30, 90, 60), 'a thing', 0.5, 0.75)] * 4
    boxes += [tool.JudgedBox((300, 310, 40, 40), 'a thing', 0.5)]
    axes = Figure().add_subplot()
    tool.draw_panel(axes, np.zeros((SIZE, SIZE, 3), np.uint8), boxes, truth=False)
    filled = [patch for patch in axes.patches if patch.get_fill()]
    places = [(p.get_x(), p.get_y(), p.get_width(), p.get_height()) for p in filled]
    assert len(places) == len(boxes)
    for x, y, wide, tall in places:
        assert x >= 0 and y >= 0 and x + wide <= SIZE and y + tall <= SIZE
    rectangles = [(x, y, x + wide, y + tall) for x, y, wide, tall in places]
    for i, one in enumerate(rectangles):
        assert not any(tool._overlap(one, other) for other in rectangles[:i])
    assert tool._overlap((0, 0, 4, 3), (2, 1, 9, 9)) == 4


@pytest.mark.parametrize(
    ('options', 'results', 'message'),
    [
        (['--images', '7'], ['good'], 'no image with the id 7'),
        (['--img-dir', 'nowhere'], ['good'], '1.png: there is no image that can be read'),
        ([], ['gone'], 'gone.json: cannot be read'),
        ([], ['good', 'good'], 'two results are named good'),
        (['--results', 'good.json'], ['good'], "NAME=FILE, got 'good.json'"),
        (['--out', '{files}'], ['good'], 'cannot be written'),
    ],
)
def test_wrong_input_is_one_line(files, capsys, options, results, message):
    options = [option.format(files=files) for option in options]
    words = arguments(files, *options, results=results)
    assert analysis('compare_detections').main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('compare_detections.py: error: ') and message in line
    assert not (files / 'new').exists()


@pytest.mark.parametrize(
    'options',
    [['--count', '0'], ['--iou', '1'], ['--images', 'x'], ['--count', '1', '--images', '1']],
)
def test_wrong_options_are_one_line(files, capsys, options):
    with pytest.raises(SystemExit) as exit_info:
        analysis('compare_detections').main(arguments(files, *options))
    assert exit_info.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('compare_detections.py: error: ') and options[0] in line
