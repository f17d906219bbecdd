"""Searches from the command line on drawn shapes: killed, resumed, tried, refused."""

import json
import time

import pytest
from in_processes import start_program
from mmengine.config import Config
from tiny_runs import REPO, load_tool, one_line_error, run_here

from mmdet_alrp.datasets import ShapesOptions, write_shapes
from mmdet_alrp.segmentation.losses import AutoSegLoss

CONFIG = REPO / 'configs' / 'segmentation' / 'search' / 'miou_shapes.py'
SIDE = 32


@pytest.fixture(scope='module')
def config(tmp_path_factory):
    """A search of 2 rounds of 2 samples, two steps each."""
    folder = tmp_path_factory.mktemp('search')
    write_shapes(folder / 'data', ShapesOptions(16, 2, SIDE, SIDE, kind='semantic', scenes='hard'))
    path = folder / 'tiny_search.py'
    data = f'dict(dataset=dict(data_root={str(folder / "data")!r}))'
    path.write_text(
        f'_base_ = {str(CONFIG)!r}\n'
        f'train_dataloader = dict(batch_size=4, **{data})\n'
        f'val_dataloader = {data}\n'
        'train_cfg = dict(max_iters=2, val_interval=2)\n'
        'search = dict(rounds=2, holdout=dict(_delete_=True, count=4), seed=3,\n'
        '    start=dict(max_iters=2),\n'
        "    algorithm=dict(_delete_=True, type='PPO', samples=2, updates=5),\n"
        "    executor=dict(_delete_=True, type='local', workers=1, threads=1, timeout=120))\n"
    )
    return path


@pytest.fixture(scope='module')
def finished(config):
    result = run_here('search_loss.py', config, '--work-dir', 'whole', cwd=config.parent)
    assert result.returncode == 0, result.stderr[-3000:]
    return config.parent / 'whole', result.stdout


def record_of(folder):
    """What `search.json` holds, without times."""
    try:
        content = json.loads((folder / 'search.json').read_text())
    except FileNotFoundError:
        return None
    del content['seconds']
    for entry in content['rounds']:
        for sample in entry['samples']:
            del sample['seconds']
    return content


def done_in(record):
    return sum(sample['done'] for entry in record['rounds'] for sample in entry['samples'])


def test_search_shows_progress_and_leaves_everything(finished):
    folder, output = finished
    lines = output.splitlines()
    assert sum('done, ' in line and ' left]' in line for line in lines) == 4
    assert any(line.startswith('round 2/2  mean ') for line in lines)
    assert lines[-1].endswith("train with theta='whole/miou.json'")
    names = {path.name for path in folder.iterdir()}
    assert names == {
        'search.json', 'miou.json', 'search.png', 'curves.png', 'report.md', 'search.log',
        'proxy.py', 'samples', 'start.pth',
    }  # fmt: skip
    assert not list(folder.glob('samples/**/*.pth'))
    assert any(line.startswith('common start trained') for line in lines)
    record = record_of(folder)
    rewards = [s['reward'] for entry in record['rounds'] for s in entry['samples']]
    assert all(0 <= reward <= 1 for reward in rewards) and len(set(rewards)) > 1
    AutoSegLoss(theta=str(folder / 'miou.json'))


def test_killed_search_resumes_to_the_same_result(config, finished):
    folder = config.parent / 'killed'
    words = [config, '--work-dir', folder]
    process = start_program(REPO / 'tools' / 'search_loss.py', words, config.parent)
    try:
        end = time.monotonic() + 120
        while not ((record := record_of(folder)) and done_in(record)):
            assert process.is_alive() and time.monotonic() < end
            time.sleep(0.05)
    finally:
        process.kill()
        process.join()
    done = done_in(record_of(folder))
    assert 1 <= done < 4
    logs = sorted(folder.glob('samples/*/*/log.txt'), key=lambda path: path.stat().st_mtime_ns)
    before = [path.stat().st_mtime_ns for path in logs[:done]]
    result = run_here('search_loss.py', *words, '--resume', cwd=config.parent)
    assert result.returncode == 0, result.stderr[-3000:]
    assert f'{done} done before' in result.stdout
    assert [path.stat().st_mtime_ns for path in logs[:done]] == before
    assert record_of(folder) == record_of(finished[0])
    assert (folder / 'miou.json').read_text() == (finished[0] / 'miou.json').read_text()
    assert not list(folder.glob('.*.part'))


def test_dry_run_says_the_cost_and_leaves_nothing(config, tmp_path, capfd):
    before = sorted(config.parent.iterdir())
    load_tool('search_loss').main(
        [str(config), '--work-dir', str(tmp_path / 'dry'), '--dry-run', '--workers', '2']
    )
    output = capfd.readouterr().out
    assert 'common start, once: ' in output
    assert '2 rounds x 2 samples = 4 samples' in output and 'with 2 of them' in output
    assert list(tmp_path.iterdir()) == [] and sorted(config.parent.iterdir()) == before


@pytest.mark.parametrize(
    ('executor', 'expected'),
    [
        (
            {'type': 'local'},
            '0:00:45 of one worker; about 0:00:45 with 1 of them side by side, if they do not slow '
            'each other down',
        ),
        (
            {'type': 'local', 'workers': 3},
            '0:00:45 of one worker; about 0:00:25 with 3 of them side by side, if they do not slow '
            'each other down',
        ),
        (
            {'type': 'ray', 'num_cpus': 2},
            '0:00:45 of one worker; Ray runs as many side by side as search.executor.num_cpus and '
            'num_gpus leave room for',
        ),
    ],
)
def test_cost_says_what_is_known_of_the_workers(executor, expected):
    settings = {'rounds': 2, 'executor': executor}
    cost = load_tool('search_loss').cost_text(settings, samples=4, seconds=5.0, start=5.0)
    assert cost == f'cost: {expected}'


def test_search_is_not_overwritten_and_resumed_with_the_same_settings_only(
    config, finished, capsys
):
    work_dir = ('--work-dir', finished[0])
    before = record_of(finished[0])
    line = one_line_error(capsys, 'search_loss', config, *work_dir)
    assert 'holds a search already: go on with it by --resume' in line
    for options, message in (
        (['--seed', 4], 'with seed=3, now it is 4'),
        (['--algorithm', 'random'], "algorithm.type='PPO', now it is 'RandomSearch'"),
        (['--cfg-options', 'train_cfg.max_iters=5'], 'train_cfg.max_iters=2, now it is 5'),
        (['--cfg-options', 'search.rounds=1'], 'more than search.rounds=1'),
    ):
        line = one_line_error(capsys, 'search_loss', config, *work_dir, '--resume', *options)
        assert message in line, line
    assert record_of(finished[0]) == before


def test_wrong_use_is_said_in_one_line(config, tmp_path, capsys):
    for options, message in (
        ([config, '--resume'], 'holds no search'),
        ([config, '--compare', tmp_path], 'holds no search'),
        ([REPO / 'configs/segmentation/ce_fcn_r18_shapes.py'], 'has no search=dict(...)'),
        ([config, '--cfg-options', 'search.round=3'], 'search.round is no setting'),
        ([config, '--cfg-options', 'search.start.max_iters=0'], 'search.start.max_iters must be'),
        ([config, '--cfg-options', 'search.start=5'], 'search.start must be None or dict'),
        ([config, '--cfg-options', 'search.rounds=0'], 'must be a whole number >= 1, got 0'),
        ([config, '--cfg-options', 'search.target_metric=IoU'], "'IoU'"),
        ([config, '--cfg-options', 'search.space.segment=3'], 'segment'),
        ([config, '--cfg-options', 'search.algorithm.type=DDPG'], 'DDPG'),
        ([config, '--cfg-options', 'search.algorithm.clip=2'], 'clip'),
        ([config, '--cfg-options', 'search.executor.type=slurm'], 'slurm'),
        ([config, '--workers', 0], 'workers'),
        ([config, '--algorithm', 'grid'], 'invalid choice'),
    ):
        line = one_line_error(capsys, 'search_loss', *options, '--work-dir', tmp_path / 'new')
        assert message in line, line
        assert not (tmp_path / 'new').exists(), message
    absent = 'train_dataloader.dataset.data_root=/absent/shapes_semantic'
    line = one_line_error(capsys, 'search_loss', config, '--cfg-options', absent)
    assert 'make_shapes.py /absent/shapes_semantic --kind semantic' in line


def test_work_dir_says_algorithm_and_seed_where_they_are_given(config):
    tool = load_tool('search_loss')

    def work_dir(*options):
        return str(tool.make_plan(tool.parse_args([str(config), *options])).work_dir)

    assert work_dir() == 'work_dirs/tiny_search'
    assert work_dir('--algorithm', 'random', '--seed', '1') == (
        'work_dirs/tiny_search_random_seed1'
    )
    assert work_dir('--algorithm', 'random', '--work-dir', 'mine') == 'mine'


def test_random_search_keeps_the_number_of_samples_only(config):
    tool = load_tool('search_loss')
    plan = tool.make_plan(tool.parse_args([str(config), '--algorithm', 'random']))
    assert plan.settings['algorithm'] == {'type': 'RandomSearch', 'samples': 2}
    assert Config.fromfile(config).search.algorithm.updates == 5
