import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from building import write_stack

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / 'tools' / 'eval_lrp.py'
SPEC = importlib.util.spec_from_file_location('eval_lrp', TOOL)
eval_lrp = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(eval_lrp)

KEYS = ['AP', 'AP50', 'AP75', 'AP_s', 'AP_m', 'AP_l', 'oLRP', 'oLRP_Loc', 'oLRP_FP', 'oLRP_FN']
KEYS += ['oLRP_s', 'oLRP_m', 'oLRP_l', 'rho', 'thresholds']
MASK = [[0, 0, 0, 10, 10, 10, 10, 0]]


def ground_truth():
    boxes = [(1, 1, [0, 0, 10, 10]), (1, 2, [100, 0, 10, 10]), (2, 1, [0, 0, 10, 10])]
    return {
        'images': [{'id': 1, 'width': 200, 'height': 100}, {'id': 2, 'width': 200, 'height': 100}],
        'categories': [{'id': 1, 'name': 'a/b c'}, {'id': 2, 'name': 'd'}, {'id': 3, 'name': 'e'}],
        'annotations': [
            {'id': i, 'image_id': image, 'category_id': cat, 'bbox': box, 'segmentation': MASK}
            for i, (image, cat, box) in enumerate(boxes)  # the first id is 0, area is not given
        ],
    }


def detections():
    rows = [(1, 1, [0, 0, 10, 8], 0.9), (1, 2, [50, 50, 10, 10], 0.6), (2, 1, [0, 0, 10, 6], 0.5)]
    return [
        {'image_id': image, 'category_id': cat, 'bbox': box, 'score': score, 'segmentation': MASK}
        for image, cat, box, score in rows
    ]


def write(folder, gt, dets):
    paths = folder / 'gt.json', folder / 'dt.json'
    for path, content in zip(paths, (gt, dets), strict=True):
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return [str(path) for path in paths]


def strict_json(path):
    def refuse(word):
        raise AssertionError(f'{word} is not JSON')

    return json.loads(path.read_text(), parse_constant=refuse)


def test_figures_and_thresholds_by_hand(tmp_path, capsys):
    out = tmp_path / 'made' / 'out.json'
    files = write(tmp_path, ground_truth(), detections())
    assert eval_lrp.main([*files, '--json', str(out), '--per-class']) == 0
    figures = strict_json(out)
    assert list(figures) == KEYS
    # class 1: (.4 + .8) / 2 at .5 beats (.4 + 1) / 2 at .9; class 2 has no true positive
    assert figures['oLRP'] == pytest.approx((0.6 + 1) / 2)
    assert figures['oLRP_Loc'] == pytest.approx(0.3)
    assert figures['oLRP_FP'] == 0
    assert figures['oLRP_FN'] == pytest.approx(0.5)
    assert figures['AP50'] == pytest.approx(0.5)
    assert figures['rho'] == 1 and figures['oLRP_l'] is None
    assert figures['thresholds'] == {'a/b c': 0.5, 'd': None, 'e': None}
    printed = capsys.readouterr().out
    assert 'oLRP_Loc  0.3000' in printed and 'a/b c' in printed
    assert 'Running per image evaluation' not in printed


def test_tau_and_masks(tmp_path):
    out = tmp_path / 'out.json'
    files = write(tmp_path, ground_truth(), detections())
    assert eval_lrp.main([*files, '--json', str(out), '--tau', '0.75']) == 0
    assert strict_json(out)['thresholds']['a/b c'] == 0.9
    assert eval_lrp.main([*files, '--json', str(out), '--iou-type', 'segm']) == 0
    assert strict_json(out)['oLRP'] == 0  # all masks are equal


def test_plots(tmp_path):
    files = write(tmp_path, ground_truth(), detections())
    folder = tmp_path / 'deep' / 'plots'
    assert eval_lrp.main([*files, '--plot', str(folder)]) == 0
    names = sorted(path.name for path in folder.iterdir())
    assert names == ['components.png', 'pr_001_a_b_c.png', 'pr_002_d.png']
    for path in folder.iterdir():
        assert path.read_bytes().startswith(b'\x89PNG') and path.stat().st_size > 5000


@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
def test_empty_list_of_detections_is_a_result(tmp_path, iou_type):
    out = tmp_path / 'out.json'
    files = write(tmp_path, ground_truth(), [])
    options = ['--iou-type', iou_type, '--json', str(out), '--plot', str(tmp_path / 'plots')]
    assert eval_lrp.main([*files, *options]) == 0
    figures = strict_json(out)
    assert (figures['AP'], figures['oLRP'], figures['oLRP_FN']) == (0, 1, 1)
    assert figures['oLRP_Loc'] is None and figures['rho'] is None


def changed(content, *path, to=None, drop=False):
    """``content`` with the entry at ``path`` replaced or removed."""
    entry = content
    for step in path[:-1]:
        entry = entry[step]
    if drop:
        del entry[path[-1]]
    else:
        entry[path[-1]] = to
    return content


GT, DT = ground_truth, detections
RLE = {'size': [5, 5], 'counts': [0, 25]}
BROKEN = {
    'broken detections': (GT(), '[{"image_id": 1,', 'dt.json: not valid JSON'),
    'broken ground truth': ('{', DT(), 'gt.json: not valid JSON'),
    'nan score': (GT(), changed(DT(), 1, 'score', to=float('nan')), 'detection 1: "score"'),
    'no score': (GT(), changed(DT(), 1, 'score', drop=True), 'detection 1: "score"'),
    'unknown image': (GT(), changed(DT(), 2, 'image_id', to=77), 'image_id 77 is no image'),
    'image as text': (GT(), changed(DT(), 2, 'image_id', to='1'), 'image_id "1" is no image'),
    'image as list': (GT(), changed(DT(), 2, 'image_id', to=[1]), 'image_id [1] is no image'),
    'unknown class': (GT(), changed(DT(), 0, 'category_id', to=9), 'category_id 9 is no category'),
    'no class': (GT(), changed(DT(), 0, 'category_id', drop=True), '"category_id" is missing'),
    'no box': (GT(), changed(DT(), 0, 'bbox', drop=True), 'detection 0: "bbox"'),
    'short box': (GT(), changed(DT(), 0, 'bbox', to=[1, 2, 3]), 'detection 0: "bbox"'),
    'negative box': (GT(), changed(DT(), 0, 'bbox', to=[1, 2, -3, 4]), 'detection 0: "bbox"'),
    'text as box': (GT(), changed(DT(), 0, 'bbox', to=['1', 2, 3, 4]), 'detection 0: "bbox"'),
    'not a list': (GT(), {'annotations': []}, 'must be a JSON list, not an object'),
    'list of numbers': (GT(), [1], 'detection 0: must be a JSON object, not a number'),
    'result as truth': (DT(), DT(), 'ground truth must be a JSON object, not a list'),
    'no categories': (changed(GT(), 'categories', drop=True), DT(), 'no list "categories"'),
    'image without id': (changed(GT(), 'images', 0, 'id', drop=True), DT(), 'no integer "id"'),
    'same id twice': (changed(GT(), 'images', 1, 'id', to=1), DT(), 'the id 1 occurs twice'),
    'orphan': (changed(GT(), 'annotations', 0, 'image_id', to=5), DT(), 'annotation 0: image_id 5'),
    'truth without box': (changed(GT(), 'annotations', 0, 'bbox', drop=True), DT(), '"bbox"'),
    'text as area': (changed(GT(), 'annotations', 0, 'area', to='9'), DT(), '"area"'),
}
BROKEN_MASKS = {
    'no mask': (GT(), changed(DT(), 0, 'segmentation', drop=True), '"segmentation" is missing'),
    'not a mask': (GT(), changed(DT(), 0, 'segmentation', to='x'), 'is not a COCO mask'),
    'empty list': (GT(), changed(DT(), 0, 'segmentation', to=[]), 'is not a COCO mask'),
    'other size': (GT(), changed(DT(), 0, 'segmentation', to=RLE), 'mask size [5, 5] is not'),
    'size unknown': (changed(GT(), 'images', 0, 'width', drop=True), DT(), 'no integer "height"'),
    'no truth': (
        changed(GT(), 'annotations', 1, 'segmentation', drop=True),
        DT(),
        'annotation 1: "segmentation" is missing',
    ),
}


def assert_one_line(capsys, *words):
    captured = capsys.readouterr()
    assert captured.err.count('\n') == 1 and captured.err.startswith('eval_lrp.py: error: ')
    for word in words:
        assert word in captured.err
    assert captured.out == ''


@pytest.mark.parametrize(('gt', 'dets', 'message'), BROKEN.values(), ids=BROKEN)
def test_unusable_files(tmp_path, capsys, gt, dets, message):
    assert eval_lrp.main(write(tmp_path, gt, dets)) == 2
    assert_one_line(capsys, message)


@pytest.mark.parametrize(('gt', 'dets', 'message'), BROKEN_MASKS.values(), ids=BROKEN_MASKS)
def test_unusable_masks(tmp_path, capsys, gt, dets, message):
    assert eval_lrp.main([*write(tmp_path, gt, dets), '--iou-type', 'segm']) == 2
    assert_one_line(capsys, message)


def test_missing_file_and_folder_as_file(tmp_path, capsys):
    gt, dt = write(tmp_path, ground_truth(), detections())
    assert eval_lrp.main([gt, str(tmp_path / 'none.json')]) == 2
    assert_one_line(capsys, 'none.json', 'No such file')
    assert eval_lrp.main([str(tmp_path), dt]) == 2
    assert_one_line(capsys, str(tmp_path), 'cannot be read')


def test_places_that_cannot_be_written(tmp_path, capsys):
    files = write(tmp_path, ground_truth(), detections())
    for option in ('--json', '--plot'):
        assert eval_lrp.main([*files, option, f'{files[0]}/below/a/file']) == 2
        assert 'gt.json' in capsys.readouterr().err
    assert eval_lrp.main([*files, '--json', '/proc/out.json']) == 2
    assert 'error: /proc/out.json: ' in capsys.readouterr().err
    assert eval_lrp.main([*files, '--json', str(tmp_path)]) == 2
    assert 'directory' in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == ['dt.json', 'gt.json']


@pytest.mark.parametrize(
    'options',
    [
        ['--tau', '0'],
        ['--tau', '1'],
        ['--tau', 'nan'],
        ['--tau', 'half'],
        ['--iou-type', 'box'],
        ['--backend', 'fast'],
    ],
    ids=' '.join,
)
def test_wrong_options(tmp_path, capsys, options):
    with pytest.raises(SystemExit) as stop:
        eval_lrp.main([*write(tmp_path, ground_truth(), detections()), *options])
    assert stop.value.code == 2
    assert_one_line(capsys, options[0], options[1])


@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
def test_backends_write_the_same_file(tmp_path, iou_type):
    pytest.importorskip('faster_coco_eval', reason='faster-coco-eval is optional')
    files = write(tmp_path, ground_truth(), detections())
    written = []
    for backend in ('pycocotools', 'faster_coco_eval'):
        out = tmp_path / f'{backend}.json'
        options = ['--iou-type', iou_type, '--backend', backend, '--json', str(out)]
        assert eval_lrp.main([*files, *options, '--per-class', '--tau', '0.55']) == 0
        written.append(out.read_text())
    assert written[0] == written[1] and strict_json(out)['AP50'] > 0


def test_backend_that_is_not_installed(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'faster_coco_eval', None)
    files = write(tmp_path, ground_truth(), detections())
    assert eval_lrp.main([*files, '--backend', 'faster_coco_eval']) == 2
    assert_one_line(capsys, 'pip install faster-coco-eval')


def test_plots_without_matplotlib(tmp_path, capsys, monkeypatch):
    for name in [name for name in sys.modules if name.partition('.')[0] == 'matplotlib']:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, 'matplotlib', None)
    files = write(tmp_path, ground_truth(), detections())
    assert eval_lrp.main([*files, '--plot', str(tmp_path / 'plots')]) == 2
    assert capsys.readouterr().err == (
        'eval_lrp.py: error: pictures need matplotlib: pip install matplotlib\n'
    )


def run_tool(*arguments, cwd):
    command = [sys.executable, str(TOOL), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


def test_from_the_shell(tmp_path):
    files = write(tmp_path, ground_truth(), detections())
    done = run_tool(*files, cwd=tmp_path)
    assert done.returncode == 0 and 'oLRP' in done.stdout, done.stderr
    done = run_tool(files[0], 'none.json', cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == ''
    assert done.stderr.splitlines()[-1].startswith('eval_lrp.py: error: none.json')
    assert 'Traceback' not in done.stderr


def test_it_needs_no_openmmlab_that_fits(tmp_path):
    write_stack(tmp_path, {'mmcv': ('1.7.0', ''), 'mmdet': ('2.0.0', 'raise ImportError')})
    files = write(tmp_path, ground_truth(), detections())
    environment = {**os.environ, 'PYTHONPATH': f'{tmp_path}{os.pathsep}{ROOT}'}
    command = [sys.executable, str(TOOL), *files]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and 'oLRP' in done.stdout and done.stderr == ''
