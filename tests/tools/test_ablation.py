"""The ablation goes on where it was, survives failures and tells what it measured."""

import importlib
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tiny_runs import REPO

from mmdet_alrp.command_line import UsageError
from mmdet_alrp.guards.checkpoint_safety import load_safely

BENCHMARKS = REPO / 'tools' / 'benchmarks'
PARTS = ('rows', 'runs', 'table')


@pytest.fixture(scope='module')
def ablation():
    """The tool with its parts, imported as when it is started."""
    added = [str(BENCHMARKS), str(REPO / 'tools')]
    sys.path[:0] = added
    try:
        yield SimpleNamespace(
            main=importlib.import_module('ablation'),
            **{part: importlib.import_module(f'ablation_{part}') for part in PARTS},
        )
    finally:
        for path in added:
            sys.path.remove(path)


def make_run(ablation, folder, row='rs_giou', seed=0, stamp='', children=None):
    settings = ablation.rows.Settings('shapes', Path('data/shapes'), 2, False, {})
    cfg = ablation.rows.row_config(row, settings)
    children = children or ablation.runs.Children()
    return ablation.runs.AblationRun(
        f'{row} {seed}', folder / row / str(seed), cfg, stamp, row=row, seed=seed, children=children
    )


def pretend_to_train(run, figures=True, ap=0.25):
    """What train.py leaves behind."""
    log = run.folder / '20260101_000000' / 'vis_data' / 'scalars.json'
    log.parent.mkdir(parents=True, exist_ok=True)
    rows = [{'loss': 1.0, 'time': time, 'step': i + 1} for i, time in enumerate([9.0, 0.5, 0.4])]
    if figures:
        judged = {'coco/bbox_mAP': ap, 'coco/bbox_oLRP': 0.8, 'coco/bbox_rho': float('nan')}
        rows += [{**judged, 'coco/bbox_mAP': 0.1, 'step': 1}, {**judged, 'step': 2}]
    log.write_text(''.join(json.dumps(row) + '\n' for row in rows))
    weights = {'state_dict': {'w': torch.ones(2)}, 'meta': {'epoch': 2}, 'optimizer': [1, 2]}
    torch.save(weights, run.folder / 'epoch_2.pth')
    (run.folder / 'last_checkpoint').write_text(str(run.folder / 'epoch_2.pth'))


@pytest.fixture
def pretended(ablation, monkeypatch):
    """Commands of the trainings that ran; an error in `fails` interrupts the next after a save."""
    started, fails = [], []

    def start(children, command, log, descriptors=()):
        started.append(command)
        config = Path(command[2])
        folder = config.parent / config.stem.removesuffix('_config')
        pretend_to_train(SimpleNamespace(folder=folder), figures=not fails)
        if fails:
            raise fails.pop()

    monkeypatch.setattr(ablation.runs.Children, 'run', start)
    return started, fails


def test_a_finished_run_is_not_repeated_and_an_interrupted_one_goes_on(
    ablation, tmp_path, pretended
):
    started, fails = pretended
    fails.append(UsageError('train.py stopped (signal 9)'))
    run = make_run(ablation, tmp_path)
    assert run.state() == 'new'
    outcome = run.finish()
    assert (outcome['state'], outcome['reason']) == ('failed', 'train.py stopped (signal 9)')
    assert run.state() == 'begun'  # its checkpoint is there, and train.py is told --resume
    for _ in range(2):
        outcome = make_run(ablation, tmp_path).finish()
        assert outcome['state'] == 'finished'
    assert len(started) == 2 and all('--resume' in command for command in started)
    assert outcome['figures']['AP'] == 0.25 and outcome['figures']['oLRP'] == 0.8
    assert outcome['figures']['rho'] is None and outcome['logged_step_seconds'] == 0.5
    left = load_safely(run.folder / 'epoch_2.pth')
    assert set(left) == {'meta', 'state_dict'}  # the optimiser's state would fill disks
    assert make_run(ablation, tmp_path, stamp='other data').state() == 'new'


def test_a_run_without_validation_has_failed(ablation, tmp_path, pretended, monkeypatch):
    run = make_run(ablation, tmp_path)
    monkeypatch.setattr(
        ablation.runs.Children, 'run', lambda *_: pretend_to_train(run, figures=False)
    )
    outcome = run.finish()
    assert outcome['state'] == 'failed' and 'no validation at its end' in outcome['reason']


class Command:
    def __reduce__(self):
        return exec, ('ran_code_of_the_checkpoint = True',)


def test_no_code_of_a_checkpoint_is_run(ablation, tmp_path, monkeypatch):
    run = make_run(ablation, tmp_path)

    def leave_code(*_):
        pretend_to_train(run)
        torch.save({'meta': {}, 'state_dict': {}, 'extra': Command()}, run.checkpoint())

    monkeypatch.setattr(ablation.runs.Children, 'run', leave_code)
    outcome = run.finish()
    assert outcome['state'] == 'failed'
    assert 'epoch_2.pth is no checkpoint that can be loaded safely' in outcome['reason']


def test_children_say_why_they_failed_and_can_be_stopped(ablation, tmp_path):
    children, log = ablation.runs.Children(), tmp_path / 'deep' / 'log'
    script = tmp_path / 'train.py'
    script.write_text(
        'import os, sys, time\n'
        'print(os.environ["OMP_NUM_THREADS"], "thread", flush=True)\n'
        'sys.exit("no memory") if sys.argv[1:] else time.sleep(60)\n'
    )
    with pytest.raises(UsageError, match=r'train.py stopped \(no memory\); see '):
        children.run([sys.executable, str(script), 'fail'], log)
    assert log.read_text().splitlines() == ['1 thread', 'no memory']

    with pytest.raises(UsageError, match=f'signal {signal.SIGTERM.value}'):
        ablation.main.ThreadPoolExecutor(1).submit(stop_when_it_runs, children, log)
        children.run([sys.executable, str(script)], log)
    with pytest.raises(UsageError, match='the ablation was stopped'):
        children.run([sys.executable, str(script)], log)


def stop_when_it_runs(children, log):
    while log.read_text().count('1 thread') < 2:
        pass
    children.stop()


def outcome(row, seed, ap=None, state='finished', **more):
    figures = dict.fromkeys(('AP', 'AP50', 'AP75', 'oLRP', 'Loc', 'FP', 'FN'), ap)
    return {'row': row, 'seed': seed, 'state': state, 'figures': {**figures, 'rho': None}, **more}


def test_mean_and_spread_over_the_seeds(ablation):
    runs = [outcome('rs_giou', 0, 0.2), outcome('rs_giou', 1, 0.3), outcome('rs_giou', 2, 0.7)]
    runs += [outcome('focal_l1', 0, 0.5), outcome('alrp_iou', 0, state='failed', reason='nan')]
    lines = ablation.table.summary(runs, {'rs_giou': 1.25})
    assert [line['row'] for line in lines] == ['focal_l1', 'alrp_iou', 'rs_giou']
    single, failed, several = lines
    assert several['mean']['AP'] == pytest.approx(0.4)
    # sample standard deviation: (.2^2 + .1^2 + .3^2) / 2
    assert several['spread']['AP'] == pytest.approx(0.07**0.5)
    assert (several['step_ratio'], single['step_ratio']) == (1.25, None)
    assert (single['mean']['AP'], single['spread']['AP']) == (0.5, None)
    assert failed['seeds'] == [] and failed['mean']['AP'] is None

    text = ablation.table.markdown('Title', lines, runs, 'Notes.')
    cells = [line.strip('| ').split(' | ') for line in text.splitlines() if line.startswith('| ')]
    assert len({len(row) for row in cells}) == 1
    assert cells[2][:3] == ['focal + L1', '1', '0.500'] and cells[2][-2:] == ['-', '-']
    assert cells[3][1:3] == ['0', '-']
    assert cells[4][:3] == ['Rank & Sort (GIoU)', '3', '0.400 ± 0.265']
    assert cells[4][-2:] == ['-', '1.25']
    assert '- aLRP (IoU), no SB, seed 0: failed: nan' in text.splitlines()


def test_time_left_counts_runs_halfway(ablation):
    time_left = ablation.main.time_left
    assert time_left(10, 1, 4, 1) == 30
    assert time_left(15, 2, 8, 3) == 25  # two others run: three runs' worth took 15
    assert time_left(10, 5, 5, 3) == 0


def arguments(data, work_dir, *more):
    known = ['--data', 'shapes', '--data-root', data, '--work-dir', work_dir, '--no-amp', *more]
    return [str(item) for item in known]


def test_a_failure_does_not_stop_the_others(ablation, tiny_shapes, tmp_path, pretended, capsys):
    started, fails = pretended
    fails.append(UsageError('train.py stopped (the loss is nan)'))
    rows = ('--rows', 'alrp_iou', 'rs_giou', '--seeds', '0', '--workers', '1', '--epochs', '2')
    runs = ablation.main.Ablation(
        ablation.main.parse_args(arguments(tiny_shapes, tmp_path, *rows)), ablation.runs.Children()
    )
    runs.train()
    written = json.loads((tmp_path / 'ablation.json').read_text())
    assert [run['state'] for run in written['runs']] == ['failed', 'finished']
    text = (tmp_path / 'ablation.md').read_text()
    assert '- aLRP (IoU), no SB, seed 0: failed: train.py stopped (the loss is nan)' in text
    assert re.search(r'^\| Rank & Sort \(GIoU\) \| 1 \| 0\.250 \|', text, re.M)
    said = capsys.readouterr().out
    assert '[1/2] alrp_iou seed 0: FAILED: ' in said and 'ETA 0 minutes' in said
    assert '[2/2] rs_giou seed 0: AP 0.250, oLRP 0.800, ' in said
    assert len(started) == 2

    # a later start of one row trains that row and keeps the other in the table
    again = ablation.main.Ablation(
        ablation.main.parse_args(arguments(tiny_shapes, tmp_path, '--rows', 'alrp_iou', *rows[3:])),
        ablation.runs.Children(),
    )
    again.train()
    written = json.loads((tmp_path / 'ablation.json').read_text())
    assert [line['row'] for line in written['table']] == ['alrp_iou', 'rs_giou']
    assert {run['state'] for run in written['runs']} == {'finished'} and len(started) == 3


def test_from_the_shell(ablation, tiny_shapes, tmp_path, capsys):
    shrink = ['train_dataloader.batch_size=4', 'default_hooks.logger.interval=1']
    shrink += ['default_hooks.gradient_balance.interval=1', 'model.test_cfg.score_thr=0.0']
    shrink += ['train_dataloader.dataset.pipeline.2.scale=(64,64)']
    shrink += ['val_dataloader.dataset.pipeline.1.scale=(64,64)']
    for split in ('train', 'val'):
        shrink += [f'{split}_dataloader.num_workers=0']
        shrink += [f'{split}_dataloader.persistent_workers=False']
    options = arguments(tiny_shapes, tmp_path / 'made', '--epochs', '1', '--repeat', '2')
    options += ['--seeds', '3', '--rows', 'focal_giou', 'alrp_giou_sb', '--cfg-options', *shrink]
    ablation.main.main([*options, '--dry-run'])
    said = capsys.readouterr().out
    assert 'focal_giou seed 3: new; 1 epochs of ' in said and 'to do: ' in said
    assert not list((tmp_path / 'made').glob('*/seed3'))

    command = [sys.executable, str(BENCHMARKS / 'ablation.py'), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert 'timing' not in done.stdout  # the dry run has done that
    written = json.loads((tmp_path / 'made' / 'ablation.json').read_text())
    assert [run['state'] for run in written['runs']] == ['finished'] * 2
    for run in written['runs']:
        assert run['figures']['AP'] >= 0 and 0 < run['figures']['oLRP'] <= 1
        assert run['seconds'] > 0 and run['logged_step_seconds'] > 0
    ratios = {line['row']: line['step_ratio'] for line in written['table']}
    assert ratios['focal_giou'] == 1 and 0.1 < ratios['alrp_giou_sb'] < 10
    config = (tmp_path / 'made' / 'focal_giou' / 'seed3_config.py').read_text()
    assert 'seed=3' in config

    # every run tells how its gradients were balanced, and one figure shows all of them
    balance = importlib.import_module('analysis.balance')
    runs = [tmp_path / 'made' / row / 'seed3' for row in ('focal_giou', 'alrp_giou_sb')]
    panels = balance.collect({path.parent.name: balance.read_log(path) for path in runs})
    curves = {name: y for name, (_, y) in panels[balance.GRADIENTS].items()}
    assert curves['alrp_giou_sb'] == pytest.approx([1] * 4, abs=1e-3)
    assert (abs(curves['focal_giou'] - 1) > 0.05).all()


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (['--rows', 'yolo'], "invalid choice: 'yolo'"),
        (['--seeds', '1', '1'], '--seeds names one twice'),
        (['--data-root', 'nowhere'], 'nowhere: train.json cannot be read'),
        (['--cfg-options', 'train_dataloader.dataset.pipeline.9.scale=1'], 'does not fit'),
        (['--cfg-options', 'train_datloader.batch_size=1'], "no key 'train_datloader'"),
        (['--workers', '0'], 'must be a whole number of at least 1'),
    ],
)
def test_wrong_use_is_one_line(ablation, tiny_shapes, options, said, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        first = arguments(tiny_shapes, tmp_path)
        sys.exit(
            ablation.main.exit_status_of(
                lambda: ablation.main.main([*first, *options]), 'ablation.py'
            )
        )
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('ablation.py: error: ') and said in line
