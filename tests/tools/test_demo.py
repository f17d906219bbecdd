import importlib
import json
import math
import re
import sys

import numpy as np
import pytest
from mmengine.config import Config
from tiny_runs import REPO, load_tool, run_tool

from mmdet_alrp.cli.exit_status import exit_status_of
from mmdet_alrp.command_line import UsageError
from mmdet_alrp.datasets import ShapesOptions, write_shapes

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
    log = analysis('plot_training').read_log(work_dir)
    assert [row['step'] for row in log.train] == [5, 10, 15, 20, 25, 30]
    epochs, errors = log.train_series('loc_error')
    assert epochs.tolist() == [0.5, 1.0, 1.5, 2.0, 2.5, 3.0]
    assert errors.tolist() == [0.1, 0.1, 0.5, 0.5, 0.5, 0.5]
    epochs, values = log.val_series('bbox_oLRP')
    assert epochs.tolist() == [1, 2, 3] and values.tolist() == [0.9, 0.8, 0.7]


def test_iteration_based_log_is_drawn_over_iterations():
    plot = analysis('plot_training')
    train = [{'loss': 1.0, 'epoch': 1, 'step': 50}, {'loss': 0.5, 'epoch': 1, 'step': 100}]
    log = plot.TrainingLog(train, [{'coco/bbox_mAP': 0.3, 'step': 100}])
    assert log.axis() == 'iteration'
    assert log.train_series('loss')[0].tolist() == [50, 100]


@pytest.mark.parametrize('absent', [(), ('loc_error', 'self_balance_ratio')])
def test_figure_has_a_panel_for_what_was_logged(work_dir, absent):
    plot = analysis('plot_training')
    log = plot.read_log(work_dir)
    rows = [{k: v for k, v in row.items() if k not in absent} for row in log.train]
    figure = plot.training_figure(plot.TrainingLog(rows, log.val), 'run')
    titles = ' '.join(axes.get_title() for axes in figure.axes)
    assert len(figure.axes) == 5 - len(absent)
    assert ('self-balance ratio' in titles) == (not absent)
    assert [line.get_label() for line in figure.axes[0].lines] == ['loss', 'loss_bbox', 'loss_cls']


def test_running_mean_skips_what_is_not_finite():
    mean = analysis('plot_training').running_mean
    values = np.array([1.0, np.nan, 3.0, 5.0])
    assert mean(values, 1).tolist() == [1.0, 2.0, 4.0, 4.0]


def test_plot_training_draws_any_run_and_says_where(work_dir, tmp_path, capsys):
    out = tmp_path / 'deep' / 'curves.png'
    assert analysis('plot_training').main([str(work_dir), '--out', str(out)]) == 0
    assert out.read_bytes().startswith(b'\x89PNG') and str(out) in capsys.readouterr().out
    assert [path.name for path in out.parent.iterdir()] == ['curves.png']


def test_plot_training_without_log_is_one_line(tmp_path, capsys):
    assert analysis('plot_training').main([str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('plot_training.py: error: ') and 'scalars.json' in line


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


def test_stored_reference_has_the_structure_that_the_demo_reads():
    comparison = analysis('comparison')
    stored = comparison.read_reference(REPO / 'tools' / 'demo_reference.json')
    assert (REPO / stored.config).is_file() and stored.config in stored.command
    known = [value is not None for value in (stored.seed, stored.epochs, *stored.metrics.values())]
    assert all(known) or not any(known)
    for figure, value in stored.metrics.items():
        assert value is None or -(figure == 'rho') <= value <= 1


@pytest.mark.parametrize('change', [{'metrics': {'AP': 0.5}}, {'extra': 1}, {'metrics': None}])
def test_reference_of_another_structure_is_refused(tmp_path, change):
    comparison = analysis('comparison')
    content = json.loads((REPO / 'tools' / 'demo_reference.json').read_text())
    (tmp_path / 'r.json').write_text(json.dumps({**content, **change}))
    with pytest.raises(UsageError, match='no file of stored figures'):
        comparison.read_reference(tmp_path / 'r.json')


def figures(comparison, value):
    metrics = dict.fromkeys(comparison.FIGURES, value)
    return comparison.RunFigures('c.py', 'python x', 0, 1, '2.13', '2026-01-01', metrics)


def test_table_has_a_dash_for_what_is_not_known(tmp_path):
    comparison = analysis('comparison')
    known, unknown = figures(comparison, 0.25), figures(comparison, None)
    rows = comparison.table_rows([('ours', known), ('stored', unknown)])
    assert rows[1] == ['AP', 'higher', '0.2500', '-', '-']
    rows = comparison.table_rows([('ours', known), ('stored', figures(comparison, 0.5))])
    assert rows[4] == ['oLRP', 'lower', '0.2500', '0.5000', '-0.2500']
    assert len({len(line) for line in comparison.plain_table(rows).splitlines()}) == 1
    comparison.write_reference(tmp_path / 'r.json', known)
    assert comparison.read_reference(tmp_path / 'r.json') == known


def test_progress_shows_steps_and_evaluations_only():
    line = analysis('tracked_run').progress_line
    step = (
        '2026/01/01 05:37:26 - mmengine - INFO - Epoch(train)  [2][ 20/188]  lr: 7.3e-04  '
        'eta: 1 day, 0:12:21  time: 1.1  loss: 0.5314  loss_cls: 0.1910  loss_bbox: 0.3404'
    )
    shown = '   20/188  ETA 1 day, 0:12:21  loss 0.5314  loss_cls 0.1910  loss_bbox 0.3404'
    assert line(step, 12) == f'epoch  2/12{shown}'
    val = 'INFO - Epoch(val) [2][4/4]    coco/bbox_mAP: 0.5  coco/bbox_oLRP: 0.6  time: 0.1'
    assert line(val, 12) == 'validation: AP 0.5  oLRP 0.6'
    assert line("model = dict(type='RetinaNet')", 12) == ''


def test_second_training_in_one_folder_is_refused(tmp_path):
    locked = analysis('tracked_run').locked
    with locked(tmp_path / 'lock'), pytest.raises(UsageError, match='another process'):
        locked(tmp_path / 'lock').__enter__()
    with locked(tmp_path / 'lock') as descriptor:
        assert descriptor > 0


@pytest.fixture
def make_run(tmp_path, monkeypatch):
    """A run whose training leaves a checkpoint, and is interrupted if `fail` says so."""
    tracked = analysis('tracked_run')
    started, fail = [], []

    def start(run, tool, options, lock=None):
        started.append(tool)
        (run.folder / 'epoch_1.pth').touch()
        (run.folder / 'last_checkpoint').write_text(str(run.folder / 'epoch_1.pth'))
        if fail:
            raise fail.pop()

    monkeypatch.setattr(tracked.TrackedRun, '_start', start)

    def make(data_stamp='', **settings):
        cfg = Config({'train_cfg': {'max_epochs': 2}, **settings})
        return tracked.TrackedRun('aLRP', tmp_path / 'alrp', cfg, data_stamp)

    return make, started, fail


def test_interrupted_run_goes_on_and_a_finished_one_is_reused(make_run, capsys):
    make, started, fail = make_run
    fail.append(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        make().train()
    assert not make().is_finished() and 'training 2 epochs' in capsys.readouterr().out
    make().train()
    assert make().is_finished() and 'going on from' in capsys.readouterr().out
    make().train()
    assert 'reused' in capsys.readouterr().out and started == ['train.py'] * 2
    make().train(retrain=True)
    assert 'training 2 epochs' in capsys.readouterr().out and started == ['train.py'] * 3


@pytest.mark.parametrize('change', [{'data_stamp': 'other'}, {'lr': 0.1}])
def test_run_of_another_config_is_moved_aside(make_run, change):
    make, started, _ = make_run
    make().train()
    (make().folder / 'mark').touch()
    make(**change).train()
    assert make(**change).is_finished() and not make().is_finished()
    assert not (make().folder / 'mark').exists() and len(started) == 2
    assert (make().folder.with_name('alrp_previous') / 'mark').exists()


def test_evaluation_is_done_once_a_training(make_run):
    make, started, fail = make_run
    make().train()
    fail.append(UsageError('stopped'))
    with pytest.raises(UsageError):
        make().evaluate()
    make().evaluate()
    make().evaluate()
    assert started == ['train.py', 'test.py', 'test.py']
    make().train(retrain=True)
    make().evaluate()
    assert started[3:] == ['train.py', 'test.py']


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['--update-reference'], '--with-focal'),
        (['--epochs', '0'], 'at least 1'),
        (['--reference', 'absent.json'], 'absent.json: cannot be read'),
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


def test_demo_trains_evaluates_draws_and_reuses(shapes, tmp_path, monkeypatch, capsys):
    options = ('--epochs', 1, '--data-root', shapes, '--work-dir', 'work dir')
    first = run_tool('demo.py', *options, cwd=tmp_path)
    assert first.returncode == 0, first.stderr[-3000:]
    assert 'focal (stored)' in first.stdout and 'model = dict' not in first.stdout
    work_dir = tmp_path / 'work dir'
    listed = first.stdout.partition('Look at:\n')[2].splitlines()
    assert listed and all((tmp_path / line.strip()).exists() for line in listed)
    for name in ('report.md', 'alrp/training.png', 'alrp/pictures/contact_sheet.png'):
        assert (work_dir / name).is_file()
    assert list((work_dir / 'alrp' / 'evaluation').glob('components.png'))
    (ap,) = re.findall(r'\| AP \| higher \| ([\d.]+) \|', (work_dir / 'report.md').read_text())
    assert f'{ap}' in first.stdout

    # the command of docs/calibration.md takes what the demo leaves
    files = [shapes / 'val.json', work_dir / 'alrp' / 'detections.bbox.json']
    options_of_maps = ['--out', tmp_path / 'scores.json', '--folds', 5]
    assert load_tool('calibrate').main(list(map(str, [*files, *options_of_maps]))) == 0
    assert 'cross-fitted: LaECE_0' in capsys.readouterr().out
    assert 'scores made expected IoUs' in first.stdout
    assert (work_dir / 'alrp' / 'scores.json').is_file()

    checkpoint = work_dir / 'alrp' / 'epoch_1.pth'
    written = checkpoint.stat().st_mtime_ns
    monkeypatch.chdir(tmp_path)
    load_tool('demo').main(list(map(str, options)))
    second = capsys.readouterr().out
    assert 'reused' in second and checkpoint.stat().st_mtime_ns == written
    assert first.stdout.partition('figure ')[2] == second.partition('figure ')[2]
