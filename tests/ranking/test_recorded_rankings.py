"""Rankings of a training run are recorded, drawn again with the same sizes, and timed."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch
from runs_of_mmengine import forget_runs

from mmdet_alrp.cli.exit_status import exit_status_of
from mmdet_alrp.datasets import ShapesOptions, write_shapes
from mmdet_alrp.ranking import build_ranking

TESTS = Path(__file__).resolve().parents[1]
BENCHMARKS = TESTS.parent / 'tools' / 'benchmarks'
HEAD = {
    'type': 'RankingRetinaHead',
    'loss_cls': {'type': 'ALRPLoss', 'use_sigmoid': True},
    'loss_bbox': {'type': 'GIoULoss', 'loss_weight': 1.0},
    'reg_decoded_bbox': True,
}


@pytest.fixture
def module_of(monkeypatch):
    """Imports a module of the benchmarks or of the tests of the tools."""
    monkeypatch.syspath_prepend(str(TESTS / 'tools'))
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


@pytest.fixture
def shapes(tmp_path):
    write_shapes(tmp_path / 'shapes', ShapesOptions(train=8, val=2, width=64, height=64))
    return tmp_path / 'shapes'


def record_of(recorded_rankings, epoch=1, step=1, seed=0, num_pos=30, delta=1.0):
    """A recorded ranking with ignored logits, and what was recorded."""
    gen = torch.Generator().manual_seed(seed)
    logits = torch.randn(5000, generator=gen) * 2 - 3
    targets = torch.zeros(5000, dtype=torch.long)
    targets[:num_pos] = 1
    targets[num_pos : num_pos + 100] = -1
    logits[:num_pos] += 2.5
    ranking = build_ranking(logits, targets, delta)
    place = {'epoch': epoch, 'step': step, 'loss': 'head'}
    neg_index = torch.empty(0, dtype=torch.long) if ranking is None else ranking.neg_index
    return {**place, **recorded_rankings.describe(logits, targets, neg_index)}, ranking


def write_records(path, records):
    path.write_text(json.dumps({'steps': records}))
    return path


@pytest.mark.parametrize('num_pos', [1, 2, 30])
def test_a_drawn_ranking_has_the_recorded_sizes(module_of, num_pos):
    recorded_rankings = module_of('recorded_rankings')
    record, ranking = record_of(recorded_rankings, num_pos=num_pos)
    num_neg = len(ranking.neg_index)
    assert (record['logits'], record['positives'], record['relevant']) == (5000, num_pos, num_neg)
    assert 0 < num_neg < 4900
    logits, targets, loc_errors = recorded_rankings.draw_batch(record, torch.device('cpu'))
    assert logits.requires_grad and logits.shape == targets.shape == (5000,)
    assert loc_errors.shape == (num_pos,)
    drawn = build_ranking(logits, targets, 1.0)
    assert (drawn.num_pos, drawn.pos_logits.min()) == (num_pos, ranking.pos_logits.min())
    assert len(drawn.neg_index) == num_neg and int((targets < 0).sum()) == 100
    assert drawn.num_fp.mean() == pytest.approx(float(ranking.num_fp.mean()), rel=0.2)


def test_the_typical_step_is_that_with_the_median_number_of_relevant_negatives(module_of):
    recorded_rankings = module_of('recorded_rankings')
    steps = [(1, 1, 0), (1, 2, 1), (1, 3, 2), (2, 4, 3)]
    records = [record_of(recorded_rankings, epoch, step, seed)[0] for epoch, step, seed in steps]
    empty = [record_of(recorded_rankings, 1, step, num_pos=0)[0] for step in (8, 9)]
    median = sorted(records[:3], key=lambda record: record['relevant'])[1]
    assert recorded_rankings.typical(records + empty) == [median, records[3]]


def test_recorded_rankings_are_timed(module_of, tmp_path, capsys):
    ranking_losses, recorded_rankings = module_of('ranking_losses'), module_of('recorded_rankings')
    records = [record_of(recorded_rankings, epoch)[0] for epoch in (1, 3)]
    recorded = write_records(tmp_path / 'rankings.json', records)
    out = tmp_path / 'times.json'
    ranking_losses.main(['--recorded', str(recorded), '--repeat', '1', '--json', str(out)])
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('|')]
    assert lines[0].startswith('| epoch | loss | logits | positives | relevant | contestant |')
    assert lines[2].startswith('| 1 | head | 5,000 | 30 |')
    assert lines[-1].startswith('| 3 | head | 5,000 | 30 |')
    assert [size['epoch'] for size in json.loads(out.read_text())['sizes']] == [1, 3]


def broken(change):
    def write(path, recorded_rankings):
        record, _ = record_of(recorded_rankings)
        write_records(path, [change(record)])

    return write


@pytest.mark.parametrize(
    ('write', 'said'),
    [
        (lambda path, _: None, 'No such file'),
        (lambda path, _: path.write_text('nothing'), 'holds no recorded rankings'),
        (lambda path, _: path.write_text('[]'), 'holds no recorded rankings'),
        (lambda path, _: path.write_text('{"steps": 3}'), 'not as recorded'),
        (lambda path, _: path.write_text('{"steps": []}'), 'no ranking with a positive'),
        (broken(lambda record: record | {'relevant': 5000}), 'not as recorded'),
        (broken(lambda record: record | {'positives': 0}), 'not as recorded'),
        (broken(lambda record: record | {'ignored_scores': [0.5]}), 'not as recorded'),
        (broken(lambda record: record | {'loss': None}), 'not as recorded'),
    ],
)
def test_what_is_no_record_is_refused(module_of, write, said, tmp_path, capsys):
    ranking_losses = module_of('ranking_losses')
    path = tmp_path / 'rankings.json'
    write(path, module_of('recorded_rankings'))
    with pytest.raises(SystemExit) as caught:
        ranking_losses.main(['--recorded', str(path)])
    (line,) = capsys.readouterr().err.splitlines()
    assert caught.value.code == 2
    assert said in line and line.endswith('write it with record_rankings.py')


def test_recorded_sizes_and_others_exclude_one_another(module_of, capsys):
    with pytest.raises(SystemExit) as caught:
        module_of('ranking_losses').main(['--recorded', 'x.json', '--sizes', '10'])
    assert caught.value.code == 2
    assert 'leave out --sizes and --positives' in capsys.readouterr().err


def test_a_training_run_is_recorded_at_its_first_middle_and_last_epoch(module_of, shapes, tmp_path):
    tiny_runs = module_of('tiny_runs')
    config = tiny_runs.write_config(tmp_path / 'tiny.py', shapes, HEAD, epochs=5)
    done = tiny_runs.run_tool('benchmarks/record_rankings.py', config, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    out = tmp_path / 'work_dirs' / 'tiny' / 'rankings.json'
    records = module_of('recorded_rankings').read_records(out)
    assert [record['epoch'] for record in records] == [1, 1, 3, 3, 5, 5]
    assert [record['step'] for record in records] == [1, 2, 5, 6, 9, 10]
    for record in records:
        assert (record['loss'], record['type']) == ('bbox_head.loss_cls', 'ALRPLoss')
        assert record['logits'] == 4 * 5 * (8 * 8 + 4 * 4 + 2 * 2)  # images, classes, anchors
        assert 0 < record['positives'] < record['relevant'] < record['logits']
    lines = [line for line in done.stdout.splitlines() if line.startswith('| ')]
    assert [line.split('|')[1].strip() for line in lines[2:]] == ['1', '3', '5']
    assert sorted(path.name for path in out.parent.glob('*rankings*')) == ['rankings.json']


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        ([], 'has no ranking loss'),
        (['--cfg-options', 'train_cfg.max_epochs=0'], 'set train_cfg.max_epochs'),
        (['--out', 'no/such/folder/x.json'], 'no folder no/such/folder'),
    ],
)
def test_what_cannot_be_recorded_is_said_in_one_line(
    module_of, shapes, options, said, tmp_path, capsys
):
    record_rankings, tiny_runs = module_of('record_rankings'), module_of('tiny_runs')
    config = tiny_runs.write_config(tmp_path / 'tiny.py', shapes)
    command = [str(config), '--work-dir', str(tmp_path / 'run'), *options]
    forget_runs()  # a log of an earlier test may be captured and closed
    with pytest.raises(SystemExit) as caught:
        sys.exit(exit_status_of(lambda: record_rankings.main(command), 'record_rankings.py'))
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('record_rankings.py: error: ') and said in line
