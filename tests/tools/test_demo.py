import importlib
import json
import math
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from tiny_runs import REPO, load_tool, run_here, run_tool

from mmdet_alrp.cli.exit_status import exit_status_of
from mmdet_alrp.command_line import UsageError
from mmdet_alrp.datasets import ShapesOptions, write_shapes
from mmdet_alrp.evaluation import evaluate_lrp

STEPS = 10


@pytest.fixture(scope='module', autouse=True)
def tools_on_path():
    """As when a script of tools/ is started."""
    sys.path.insert(0, str(REPO / 'tools'))
    yield
    sys.path.remove(str(REPO / 'tools'))


def analysis(name):
    return importlib.import_module(f'analysis.{name}')


@pytest.fixture(scope='module')
def shapes(tmp_path_factory):
    root = tmp_path_factory.mktemp('drawn shapes') / 'shapes'
    write_shapes(root, ShapesOptions(train=24, val=10, width=96, height=96))
    return root


@pytest.fixture
def work_dir(tmp_path):
    """A run of three epochs of ten steps that was killed in the second epoch and resumed."""
    write_log(tmp_path / '1', range(1, 15))
    write_log(tmp_path / '2', range(11, 31), loc_error=0.5, olrp={2: 0.8, 3: 0.7})
    with open(tmp_path / '1' / 'vis_data' / 'scalars.json', 'a') as file:
        file.write('{"loss": 1.0, "st')
    return tmp_path


def write_log(folder, steps, loc_error=0.1, olrp=None):
    rows = [
        {
            'loss': 2.0 / step,
            'loss_cls': 1.0 / step,
            'loss_bbox': 1.0 / step,
            'loc_error': loc_error,
            'self_balance_ratio': 50.0,
            'epoch': math.ceil(step / STEPS),
            'step': step,
        }
        for step in steps
        if step % 5 == 0
    ]
    for epoch, value in (olrp or {1: 0.9}).items():
        rows.append({'coco/bbox_oLRP': value, 'coco/bbox_mAP': 1 - value, 'step': epoch})
    (folder / 'vis_data').mkdir(parents=True)
    (folder / 'vis_data' / 'scalars.json').write_text('\n'.join(map(json.dumps, rows)) + '\n')


def test_log_joins_a_run_and_its_resumption(work_dir):
    log = analysis('training_log').read_log(work_dir)
    assert [row['step'] for row in log.train] == [5, 10, 15, 20, 25, 30]
    epochs, errors = log.train_series('loc_error')
    assert epochs.tolist() == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert errors.tolist() == [0.1, 0.1, 0.5, 0.5, 0.5, 0.5]
    assert [row['coco/bbox_oLRP'] for row in log.val] == [0.9, 0.8, 0.7]


def test_iteration_based_log_is_drawn_over_iterations():
    plot = analysis('training_log')
    train = [{'loss': 1.0, 'epoch': 1, 'step': 50}, {'loss': 0.5, 'epoch': 1, 'step': 100}]
    log = plot.TrainingLog(train, [{'coco/bbox_mAP': 0.3, 'step': 100}])
    assert log.axis() == 'iteration'
    assert log.train_series('loss')[0].tolist() == [50, 100]


def test_running_mean_skips_what_is_not_finite():
    mean = analysis('training_log').running_mean
    values = np.array([1.0, np.nan, 3.0, 5.0])
    assert mean(values, 1).tolist() == [1.0, 2.0, 4.0, 4.0]


def as_detections(ground_truth):
    anns = json.loads(ground_truth.read_text())['annotations']
    keys = ('image_id', 'category_id', 'bbox')
    return [{**{key: ann[key] for key in keys}, 'score': 0.5} for ann in anns]


def test_pictures_show_what_reaches_its_class_threshold(shapes, tmp_path, capsys):
    draw = analysis('draw_detections')
    found = as_detections(shapes / 'val.json')
    (tmp_path / 'found.json').write_text(json.dumps(found))
    coco_gt = draw.read_ground_truth(shapes / 'val.json', 'bbox')
    names = [cat['name'] for cat in coco_gt.cats.values()]
    cuts = dict(zip(names, [0.5, 0.51, None], strict=False))  # and classes without a threshold
    kept = draw.above_thresholds(coco_gt, found, cuts)
    first = min(coco_gt.cats)
    assert kept and kept == [det for det in found if det['category_id'] == first]

    (tmp_path / 'cuts.json').write_text(json.dumps({'thresholds': cuts}))
    options = ['--count', '3', '--thresholds', tmp_path / 'cuts.json']
    files = [shapes / 'val.json', tmp_path / 'found.json', shapes / 'val', tmp_path / 'out']
    assert draw.main([str(item) for item in [*files, *options]]) == 0
    assert len(list((tmp_path / 'out').glob('0*.png'))) == 3
    assert (tmp_path / 'out' / 'contact_sheet.png').is_file()


def test_objects_are_thin_and_white_over_the_detections(shapes):
    draw = analysis('draw_detections')
    coco_gt = draw.read_ground_truth(shapes / 'val.json', 'bbox')
    box = {'bbox': [20, 30, 40, 20], 'category_id': min(coco_gt.cats)}
    grey = np.full((96, 96, 3), 100, np.uint8)
    found = {**box, 'bbox': [20, 60, 40, 20], 'score': 0.5}
    panel = draw.draw_boxes(grey, [found], coco_gt, 96, [box])
    edge, beside = panel[30, 25:55], panel[[27, 33], 25:55]
    assert (edge > 230).all() and (beside == 100).all()
    colour = np.abs(panel[80, 25:55].astype(int) - draw.COLOURS[0]).max()
    assert colour < 20 and (panel[35, 30:50] == 100).all()


@pytest.fixture
def demo():
    return load_tool('demo')


def options_of(demo, work_dir, shapes, *more):
    options = ['--work-dir', work_dir, '--data-root', shapes, *more]
    return demo.parse_args([str(option) for option in options])


@pytest.mark.parametrize('change', [['--steps', '2'], ['--amp'], 'images'])
def test_work_dir_of_another_demo_is_refused(demo, change, shapes, tmp_path):
    demo.claim(options_of(demo, tmp_path, shapes, '--no-amp')).close()
    demo.claim(options_of(demo, tmp_path, shapes, '--no-amp')).close()
    more = ['--no-amp', *change]
    if change == 'images':
        more, other = ['--no-amp'], tmp_path / 'other'
        write_shapes(other, ShapesOptions(train=1, val=1, width=32, height=32))
        shapes = other
    with pytest.raises(UsageError, match='other options, configs or images: remove it'):
        demo.claim(options_of(demo, tmp_path, shapes, *more))


def test_second_demo_in_one_work_dir_is_refused(demo, shapes, tmp_path):
    args = options_of(demo, tmp_path, shapes)
    with demo.claim(args), pytest.raises(UsageError, match='another demo uses it'):
        demo.claim(args)


def test_interrupted_demo_ends_the_trainings(demo, shapes, tmp_path, monkeypatch):
    script = tmp_path / 'starts_a_training.py'
    pid_file = tmp_path / 'pid'
    script.write_text(
        'import subprocess\n'
        "child = subprocess.Popen(['sleep', '60'])\n"
        f'open({str(pid_file)!r}, "w").write(str(child.pid))\n'
        'child.wait()\n'
    )

    def interrupt(folder, steps):
        if pid_file.is_file() and pid_file.read_text():
            raise KeyboardInterrupt
        return 'starts'

    monkeypatch.setattr(demo, 'training_command', lambda args: [str(script)])
    monkeypatch.setattr(demo, 'SECONDS', 0.1)
    monkeypatch.setattr(demo, 'progress', interrupt)
    args = options_of(demo, tmp_path, shapes, '--steps', '1')
    with demo.claim(args) as lock, pytest.raises(KeyboardInterrupt):
        demo.train(args, lock)
    status = Path('/proc', pid_file.read_text(), 'status')
    for _ in range(100):
        if not status.is_file() or '(zombie)' in status.read_text():
            return
        time.sleep(0.1)
    pytest.fail('the training goes on')


def test_training_that_stops_is_one_line(demo, shapes, tmp_path, monkeypatch):
    (tmp_path / 'stops.py').write_text("raise SystemExit('no memory')")
    monkeypatch.setattr(demo, 'training_command', lambda args: [str(tmp_path / 'stops.py')])
    args = options_of(demo, tmp_path, shapes, '--steps', '1')
    with demo.claim(args) as lock, pytest.raises(UsageError, match=r'stopped \(no memory\)'):
        demo.train(args, lock)


def test_progress_is_the_last_logged_step(demo, work_dir, tmp_path):
    assert demo.progress(work_dir, 40) == 'step 30 of 40, loss 0.067'
    assert demo.progress(tmp_path / 'empty', 40) == 'starts'


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['--steps', '0'], 'at least 1'),
        (['--work-dir', 'my demo'], 'without spaces'),
        (['--data-root', '.', '--work-dir', 'w'], 'remove it or give another --data-root'),
    ],
)
def test_wrong_use_is_one_line(options, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'something').touch()
    with pytest.raises(SystemExit) as exit_info:
        sys.exit(exit_status_of(lambda: load_tool('demo').main(options), 'demo.py'))
    assert exit_info.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('demo.py: error: ') and words in line


def compare_here(command, stdout, **settings):
    """What the demo starts, in this process; its trainings are programs, side by side."""
    folder = Path.cwd()

    def train(words, stdout, **settings):
        done = run_tool('train.py', *words[2:], cwd=folder)
        stdout.write(done.stdout + done.stderr)
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr('subprocess.run', train)
        done = run_here('benchmarks/compare_losses.py', *command[2:], cwd=folder)
    stdout.write(done.stdout + done.stderr)
    return SimpleNamespace(poll=lambda: done.returncode, returncode=done.returncode)


def test_demo_trains_both_draws_them_and_reuses(shapes, tmp_path, monkeypatch, capsys):
    options = ('--steps', 2, '--data-root', shapes, '--work-dir', 'runs/demo', '--no-amp')
    with monkeypatch.context() as patch:
        patch.setattr('subprocess.Popen', compare_here)
        first = run_here('demo.py', *options, cwd=tmp_path)
    assert first.returncode == 0, first.stderr[-3000:]
    work_dir = tmp_path / 'runs' / 'demo'
    sheet = cv2.imread(str(work_dir / 'contact_sheet.png'))
    assert sheet.shape[1] > 4 * 300 and (work_dir / 'table.md').is_file()

    # the table is that of the files of detections
    draw = analysis('draw_detections')
    truth = draw.read_ground_truth(shapes / 'val.json', 'bbox')
    files = [f'{loss}_retinanet_demo/seed0/val.bbox.json' for loss in ('alrp', 'focal')]
    figures = [
        evaluate_lrp(truth, draw.read_detections(work_dir / file, truth, 'bbox')).summary()
        for file in files
    ]
    assert figures[0] != figures[1]
    (row,) = [line for line in first.stdout.splitlines() if line.startswith('oLRP')]
    assert re.findall(r'0\.\d+|1\.0+', row) == [f'{own["oLRP"]:.3f}' for own in figures]
    config = re.findall(r'python tools/train\.py (\S+) --data-root FOLDER', first.stdout)
    assert (REPO / config[-1]).is_file()

    # the command of docs/calibration.md takes what the demo leaves
    words = [shapes / 'val.json', work_dir / files[0], '--out', tmp_path / 's.json', '--folds', 5]
    assert load_tool('calibrate').main(list(map(str, words))) == 0
    assert 'cross-fitted: LaECE_0' in capsys.readouterr().out

    written = (work_dir / files[0]).stat().st_mtime_ns
    monkeypatch.chdir(tmp_path)
    load_tool('demo').main(list(map(str, options)))
    second = capsys.readouterr().out
    assert (work_dir / files[0]).stat().st_mtime_ns == written
    assert row in second and 'the images are there' in second
