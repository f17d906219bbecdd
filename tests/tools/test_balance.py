import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import FOCAL_HEAD, REPO, run_here, write_config

RANKING_HEAD = {
    'type': 'RankingRetinaHead',
    'reg_decoded_bbox': True,
    'loss_cls': {'type': 'ALRPLoss', 'use_sigmoid': True},
    'loss_bbox': {'type': 'GIoULoss', 'reduction': 'none'},
}


@pytest.fixture(scope='module')
def balance():
    return importlib.import_module('analysis.balance')


def write_run(folder, rows, stamp='20260101_000000'):
    path = folder / stamp / 'vis_data' / 'scalars.json'
    path.parent.mkdir(parents=True)
    path.write_text(''.join(json.dumps(row) + '\n' for row in rows))
    return path


def rows_of(count=8, **figures):
    return [
        {'step': i + 1, 'epoch': i // 4 + 1, 'loss': 1.0, **{k: v + i for k, v in figures.items()}}
        for i in range(count)
    ]


@pytest.fixture
def two_runs(tmp_path):
    write_run(
        tmp_path / 'alrp',
        rows_of(loss_cls=1.0, loss_bbox=3.0, loc_error=2.0, self_balance_ratio=5.0, grad_ratio=1.0),
    )
    write_run(tmp_path / 'focal', rows_of(loss_cls=0.5, loss_bbox=0.25, grad_ratio=4.0))
    return tmp_path / 'focal', tmp_path / 'alrp'


def test_what_each_panel_shows(balance, two_runs):
    logs = {path.name: balance.read_log(path) for path in two_runs}
    panels = balance.collect(logs)
    first = {heading: {n: y[0] for n, (_, y) in c.items()} for heading, c in panels.items()}
    assert list(first.values()) == [
        {'focal': 0.5, 'alrp': 1.0},
        {'focal': 0.25, 'alrp': 2.0},
        {'alrp': 5.0},
        {'focal': 4.0, 'alrp': 1.0},
    ]


def test_heads_of_a_two_stage_detector(balance, tmp_path):
    names = ('loss_rpn_cls', 'loss_cls', 'rpn_loc_error', 'loc_error', 'rpn_self_balance_ratio')
    names += ('self_balance_ratio', 'rpn_head.grad_ratio', 'roi_head.bbox_head.grad_ratio')
    write_run(tmp_path, rows_of(**dict.fromkeys(names, 1.0)))
    panels = balance.collect({'run': balance.read_log(tmp_path)})
    assert len(panels) == 4
    for curves in panels.values():
        assert set(curves) == {'run', 'run: rpn'}


def test_stages_of_a_cascade(balance, tmp_path):
    names = ('s0.loss_cls', 's1.loss_cls')
    names += ('roi_head.bbox_head.0.grad_ratio', 'roi_head.bbox_head.1.grad_ratio')
    write_run(tmp_path, rows_of(**dict.fromkeys(names, 1.0)))
    for curves in balance.collect({'run': balance.read_log(tmp_path)}).values():
        assert set(curves) == {'run: s0', 'run: s1'}


def test_a_run_keeps_its_colour(balance, two_runs):
    figure = balance.balance_figure({path.name: balance.read_log(path) for path in two_runs})
    assert len(figure.axes) == 4
    for axes in figure.axes:
        shown = {text.get_text() for text in axes.get_legend().get_texts()}
        assert shown <= {'alrp', 'focal'} and 'alrp' in shown
        (line,) = [line for line in axes.lines if line.get_label() == 'alrp']
        assert line.get_color() == balance_colours()[1]


def balance_colours():
    return importlib.import_module('analysis.training_log').COLOURS


def test_names_tell_runs_apart(balance, tmp_path):
    log = Path('scalars.json')
    paths = [tmp_path / 'a' / 'run', tmp_path / 'b' / 'run' / 'stamp' / 'vis_data' / log]
    assert balance.run_names(paths[:1]) == ['run']
    assert balance.run_names(paths) == ['a/run', 'b/run']


def test_from_the_shell(two_runs, tmp_path):
    command = [sys.executable, str(REPO / 'tools' / 'analysis' / 'balance.py'), *map(str, two_runs)]
    done = subprocess.run([*command, '--out', 'made'], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert 'focal: gradient on positives / on negatives: 7.5000' in done.stdout
    assert (tmp_path / 'made' / 'balance.png').read_bytes().startswith(b'\x89PNG')
    assert [path.name for path in (tmp_path / 'made').iterdir()] == ['balance.png']


def test_wrong_input_is_one_line(balance, two_runs, tmp_path, capsys):
    write_run(tmp_path / 'bare', [{'step': 1, 'epoch': 1, 'loss': 1.0}])
    write_run(tmp_path / 'iterations', [{'step': i, 'loss': 1.0, 'loss_cls': 1.0} for i in (1, 2)])
    (tmp_path / 'file').write_text('')
    for runs, out, message in (
        (['gone'], 'out', 'there is no */vis_data/scalars.json'),
        (['alrp', 'alrp'], 'out', 'the same run is named twice'),
        (['bare'], 'out', 'neither losses nor balance figures'),
        (['alrp', 'iterations'], 'out', 'some of the runs count epochs'),
        (['alrp'], 'file/below', 'file'),
    ):
        arguments = [*(str(tmp_path / run) for run in runs), '--out', str(tmp_path / out)]
        assert balance.main(arguments) == 2
        captured = capsys.readouterr()
        assert captured.err.count('\n') == 1
        assert captured.err.startswith('balance.py: error: ') and message in captured.err
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(('head', 'balanced'), [(RANKING_HEAD, True), (FOCAL_HEAD, False)])
def test_gradients_of_a_real_training(balance, tiny_shapes, tmp_path, head, balanced):
    config = write_config(
        tmp_path / 'config.py',
        tiny_shapes,
        head,
        epochs=1,
        custom_hooks=[{'type': 'GradientBalanceHook', 'interval': 1}],
    )
    result = run_here('train.py', config, '--work-dir', 'run', cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    log = balance.read_log(tmp_path / 'run')
    _, ratios = log.train_series('grad_ratio')
    assert len(ratios) == 4
    if balanced:
        np.testing.assert_allclose(ratios, 1, atol=1e-4)
    else:
        assert (np.abs(ratios - 1) > 0.05).all()
    # a logged figure must not be trained: the total is that of the losses alone
    for row in log.train:
        assert row['loss'] == pytest.approx(row['loss_cls'] + row['loss_bbox'], rel=1e-4)
    assert balance.main([str(tmp_path / 'run'), '--out', str(tmp_path)]) == 0
