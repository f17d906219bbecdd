"""Configs over seeds: really trained, in one table, once only."""

import json
import statistics
from types import SimpleNamespace

import pytest
from tiny_runs import REPO, load_tool, run_here, run_tool, write_config

compare = load_tool('benchmarks/compare_losses')
RANKING = {
    'type': 'RankingRetinaHead',
    'loss_cls': {'type': 'APLoss', 'use_sigmoid': True},
    'loss_bbox': {'type': 'L1Loss', 'loss_weight': 1.0},
}


@pytest.fixture(scope='module')
def finished(tiny_shapes, tmp_path_factory):
    """Work dir and command line of two configs with two seeds each; one run of them has failed."""
    folder = tmp_path_factory.mktemp('compare')
    configs = [
        write_config(folder / 'focal.py', tiny_shapes, epochs=1),
        write_config(folder / 'ap.py', tiny_shapes, RANKING, epochs=1),
    ]
    options = [*map(str, configs), '--work-dir', str(folder / 'runs'), '--seeds', '0', '1']

    def train(command, stdout, stderr, env):
        """What a process of its own does, without its imports."""
        done = run_here('train.py', *command[2:], cwd=folder)
        stdout.write(done.stdout + done.stderr)
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, 'subprocess', SimpleNamespace(run=train))
        broken = folder / 'runs' / 'ap' / 'seed1'
        broken.parent.mkdir(parents=True)
        broken.write_text('a file where the run wants its folder')
        with pytest.raises(compare.UsageError, match='1 runs failed; the same command goes on'):
            compare.main(options)
        first = (folder / 'runs' / 'table.md').read_text()
        broken.unlink()
        compare.main(options)
    return folder / 'runs', options, first


def cells(text, row):
    (line,) = [line for line in text if line.startswith(f'| {row} |')]
    return [cell.strip() for cell in line.strip('|').split('|')]


def test_table_has_means_and_differences_seed_by_seed(finished):
    folder, _, _ = finished
    stored = {
        name: [
            json.loads((folder / name / f'seed{seed}' / 'figures.json').read_text())['figures']
            for seed in (0, 1)
        ]
        for name in ('focal', 'ap')
    }
    means, differences, scores = (folder / 'table.md').read_text().split('\n\n')[0:5:2]
    assert stored['focal'][0] != stored['focal'][1]
    head = cells(means.splitlines(), 'config')
    for name, runs in stored.items():
        row = dict(zip(head, cells(means.splitlines(), name), strict=True))
        values = [run['oLRP'] for run in runs]
        spread = statistics.stdev(values)
        assert row['seeds'] == '2'
        assert row['oLRP'] == f'{statistics.fmean(values):.3f} ± {spread:.3f}'
    row = dict(zip(head, cells(differences.splitlines(), 'ap'), strict=True))
    paired = [own['oLRP'] - other['oLRP'] for other, own in zip(*stored.values(), strict=True)]
    assert row['oLRP'] == f'{statistics.fmean(paired):+.3f} ± {statistics.stdev(paired):.3f}'
    judged = [line for line in scores.splitlines() if line.startswith('| focal |')]
    assert [line.split(' | ')[1] for line in judged] == ['raw', 'calibrated']


def test_a_failed_run_is_missing_from_the_table_and_made_up_for(finished):
    _, _, first = finished
    assert cells(first.split('\n\n')[0].splitlines(), 'ap')[1] == '1'
    assert cells(first.split('\n\n')[2].splitlines(), 'ap')[1] == '1'


def test_a_second_start_trains_nothing_and_other_options_are_refused(finished, monkeypatch, capsys):
    folder, options, _ = finished
    started = []
    monkeypatch.setattr(compare.Run, 'finish', lambda run: started.append(run) or run.figures())
    before = (folder / 'table.md').stat().st_mtime_ns
    compare.main(options)
    assert not started and (folder / 'table.md').stat().st_mtime_ns == before
    assert '4 runs, 4 of them finished' in capsys.readouterr().out
    args = compare.parse_args([*options, '--cfg-options', 'optim_wrapper.optimizer.lr=0.1'])
    runs = compare.plan(args)
    assert not any(run.figures() for run in runs)
    monkeypatch.undo()
    for run in (runs[0], compare.plan(compare.parse_args(options))[0]._replace(digest='another')):
        with pytest.raises(compare.UsageError, match='another config or other options'):
            run.finish()


def test_a_training_that_stops_is_one_line_with_its_last_words(tiny_config, tmp_path):
    wrong = ['--cfg-options', 'model.neck.type=None', '--seeds', '0']
    options = [tiny_config, '--work-dir', 'runs', *wrong]
    done = run_tool('benchmarks/compare_losses.py', *options, cwd=tmp_path)  # starts real ones
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith('compare_losses.py: error: 1 runs failed')
    log = (tmp_path / 'runs' / 'tiny_focal' / 'seed0' / 'output.log').read_text()
    assert log.strip()


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (['none.py'], 'there is no config file none.py'),
        ([str(REPO / 'configs/alrp_retinanet_r18_shapes.py')] * 2, 'named twice'),
        ([str(REPO / 'configs/alrp_retinanet_r18_shapes.py'), '--seeds', '1', '1'], 'named twice'),
    ],
)
def test_wrong_use(options, said, tmp_path):
    with pytest.raises(compare.UsageError, match=said):
        compare.main([*options, '--work-dir', str(tmp_path)])
