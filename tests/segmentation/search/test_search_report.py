"""What a search leaves for its user: parameters, pictures and report."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from quick_search import PPO, RANDOM, KilledError, QuickExecutor, search, settings_of

from mmdet_alrp.command_line import UsageError
from mmdet_alrp.segmentation.losses import AutoSegLoss
from mmdet_alrp.segmentation.search import SearchSpace
from mmdet_alrp.segmentation.search.outputs import write_found, write_pictures
from mmdet_alrp.segmentation.search.plots import curves_figure, group_figure, reward_figure
from mmdet_alrp.segmentation.search.records import SearchRecord, read_record
from mmdet_alrp.segmentation.search.report import group_table, report_text
from mmdet_alrp.segmentation.search.settings import parameter_file, target_name

SUM = {'mIoU': 1.0, 'BF1': 0.5}
PNG = b'\x89PNG\r\n\x1a\n'
ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / 'tests' / 'tools'))
from tiny_runs import load_tool  # noqa: E402


def found_by(record):
    return SearchSpace(record.settings['target_metric']).decode(record.winner.sample)


@pytest.mark.parametrize(('target', 'name'), [('FWIoU', 'fwiou.json'), (SUM, 'miou_bf1.json')])
def test_parameters_found_are_what_the_loss_takes(tmp_path, target, name):
    record, _ = search(tmp_path, target=target)
    path = write_found(record, found := found_by(record), tmp_path)
    assert path == tmp_path / name
    loss = AutoSegLoss(target_metric=target, theta=str(path))
    for metric, parameters in found.items():
        assert loss.parameters_of[metric].theta == pytest.approx(parameters.theta, abs=1e-12)
    logits = torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    assert torch.isfinite(loss(logits, logits.argmax(1)))
    info = json.loads(path.read_text())['info']
    assert info['reward'] == record.winner.reward and info['round'] == record.winner.round + 1


def test_files_of_a_search(tmp_path):
    record, _ = search(tmp_path / 'ppo')
    other, _ = search(tmp_path / 'random', algorithm=RANDOM)
    write_pictures(record, found_by(record), tmp_path / 'ppo', {'random': other})
    files = {path.name for path in (tmp_path / 'ppo').iterdir()}
    assert files == {'search.json', 'search.png', 'curves.png', 'report.md'}
    for name in ('search.png', 'curves.png'):
        assert (tmp_path / 'ppo' / name).read_bytes().startswith(PNG)


def test_reward_figure_shows_mean_spread_and_best(tmp_path):
    record, _ = search(tmp_path, QuickExecutor(frozenset({(1, 0)})))
    (axes,) = reward_figure({'this': record}).axes
    lines = {line.get_label(): line for line in axes.lines}
    mean, best = lines['this: mean of the round'], lines['this: best so far']
    rewards = np.array([entry.scores for entry in record.rounds])
    assert rewards[1, 0] == 0
    np.testing.assert_allclose(mean.get_xdata(), [1, 2, 3])
    np.testing.assert_allclose(mean.get_ydata(), rewards.mean(1))
    np.testing.assert_allclose(best.get_ydata(), np.maximum.accumulate(rewards.max(1)))
    band = axes.collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx((rewards.mean(1) + rewards.std(1)).max())
    assert axes.get_ylabel() == 'mIoU on the hold-out part'


def test_group_figure_shows_mean_and_spread_over_runs(tmp_path):
    runs = [search(tmp_path / str(seed), seed=seed, rounds=2 + seed)[0] for seed in range(2)]
    figure = group_figure({'PPO': runs})
    means = np.array([[entry.mean_reward for entry in run.rounds[:2]] for run in runs])
    line = figure.axes[0].lines[0]
    np.testing.assert_allclose(line.get_ydata(), means.mean(0))  # rounds that both have
    assert line.get_label() == 'PPO (2 runs)'
    band = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert band.max() == pytest.approx((means.mean(0) + means.std(0)).max())
    first, last = means.mean(0), means.std(0)
    assert f'| {first[1]:.4f} ± {last[1]:.4f} |' in group_table({'PPO': runs})


def test_curves_figure_has_a_panel_a_metric_and_the_published_curves():
    found = SearchSpace(SUM).decode([0.3] * SearchSpace(SUM).size)
    panels = curves_figure(found).axes
    assert [axes.get_title() for axes in panels] == ['mIoU', 'BF1']
    for axes, curves in zip(panels, (2, 4), strict=True):
        labels = axes.get_legend_handles_labels()[1]
        assert sum(label.endswith(': found') for label in labels) == curves
        assert sum('published' in label for label in labels) == curves
        assert 'diagonal: not searched' in labels
    line = next(line for line in panels[0].lines if line.get_label() == 'AND: found')
    x = torch.from_numpy(line.get_xdata())
    np.testing.assert_allclose(line.get_ydata(), found['mIoU'].curves[0](x))


@pytest.mark.parametrize('options', [{'truth_table': False}, {'parameterization': 'linear'}])
def test_curves_of_other_spaces_are_drawn_and_reported(tmp_path, options):
    space = SearchSpace('mAcc', **options)
    record, _ = search(tmp_path, target='mAcc')
    found = space.decode([0.4] * space.size)
    assert curves_figure(found).axes
    row = next(
        line for line in report_text(record, found, 'w').split('\n') if line.startswith('| mAcc')
    )
    inner = len(found['mAcc'].curves[0].points) - (0 if options.get('truth_table') is False else 2)
    assert len(re.findall(r'\(\d', row)) == inner


def test_report_says_what_was_done_and_how_to_use_it(tmp_path):
    record, _ = search(tmp_path, QuickExecutor(frozenset({(1, 2)})), target=SUM)
    text = report_text(record, found_by(record), 'work_dirs/mine')
    assert '# Search for mIoU + 0.5 BF1 with PPO' in text
    assert 'State: finished; 12 samples, 1 failed' in text
    assert '| 2 | 3 | NotFiniteError: loss is nan |' in text
    assert '| `algorithm.samples` | 4 |' in text
    for number, entry in enumerate(record.rounds, 1):
        assert f'| {number} | {entry.mean_reward:.4f} |' in text
    assert f'of round {record.winner.round + 1}, mIoU + 0.5 BF1 {record.winner.reward:.4f}' in text
    code = re.search(r'```python\n(.*)\n```', text).group(1)
    loss = eval(code.replace('loss_decode=', ''), {'dict': dict})
    assert loss['theta'] == 'work_dirs/mine/miou_bf1.json' and loss['target_metric'] == SUM


def test_report_of_a_search_that_was_stopped(tmp_path):
    with pytest.raises(KilledError):
        search(tmp_path, QuickExecutor(dies_after=6), algorithm=RANDOM)
    record = read_record(tmp_path)
    text = report_text(record, found_by(record), 'w')
    assert 'stopped or running, 1 of 3 rounds done; 6 samples, 0 failed' in text
    assert 'Winner: best sample, of round 1' in text and 'None.' in text


def test_names_of_targets():
    assert target_name('BF1') == 'BF1' and target_name({'mIoU': 1.0, 'BIoU': 1}) == 'mIoU + BIoU'
    assert parameter_file({'mIoU': 1.0, 'BIoU': 2.0}) == 'miou_biou.json'


def test_plot_search_compares_algorithms_over_seeds(tmp_path, capsys):
    tool = load_tool('analysis/plot_search')
    folders = []
    for seed in range(2):
        for name, algorithm in (('ppo', PPO), ('random', RANDOM)):
            folders.append(tmp_path / f'{name}{seed}')
            search(folders[-1], algorithm=algorithm, seed=seed)
    out = tmp_path / 'new' / 'compared.png'
    assert tool.main([*map(str, folders), '--out', str(out)]) == 0
    assert out.read_bytes().startswith(PNG)
    table = capsys.readouterr().out
    assert '| PPO | 2 | 3 |' in table and '| RandomSearch | 2 | 3 |' in table
    groups = tool.group_searches(folders)
    assert [record.settings['seed'] for record in groups['PPO']] == [0, 1]


def test_plot_search_keeps_other_searches_apart(tmp_path):
    tool = load_tool('analysis/plot_search')
    search(tmp_path / 'a')
    search(tmp_path / 'b', target='BF1')
    search(tmp_path / 'c', algorithm={**PPO, 'clip': 0.1})
    names = list(tool.group_searches([tmp_path / name for name in 'ab']))
    assert names == ['PPO, mIoU', 'PPO, BF1']
    assert list(tool.group_searches([tmp_path / name for name in 'ac'])) == [
        'PPO, mIoU, 1',
        'PPO, mIoU, 2',
    ]


def test_plot_search_refuses_in_one_line(tmp_path, capsys):
    tool = load_tool('analysis/plot_search')
    assert tool.main([str(tmp_path), '--out', str(tmp_path / 'x.png')]) == 2
    assert re.fullmatch(r'plot_search\.py: error: .* holds no search.*\n', capsys.readouterr().err)
    SearchRecord(settings_of()).save(tmp_path)
    with pytest.raises(UsageError, match='no round of this search is finished yet'):
        tool.group_searches([tmp_path])
    search(tmp_path)
    with pytest.raises(UsageError, match='is given twice'):
        tool.group_searches([tmp_path, tmp_path])
