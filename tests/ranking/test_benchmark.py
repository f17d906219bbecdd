"""The benchmark runs, times what it claims to, and refuses wrong arguments in one line."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import oracle
import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / 'tools' / 'benchmarks'


def test_table_and_json(tmp_path):
    out = tmp_path / 'times.json'
    command = [sys.executable, str(BENCHMARKS / 'ranking_losses.py')]
    command += ['--sizes', '500', '2e3', '--positives', '5', '50', '--repeat', '2']
    command += [
        '--states',
        'spread',
        '--threads',
        '1',
        '--loop-limit',
        '50000',
        '--matrix-limit',
        '50000',
    ]
    command += ['--json', str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    head, _, *rows = [line for line in done.stdout.splitlines() if line.startswith('|')]
    assert 'note: no loop at 2,000 logits x 50 positives' in done.stdout
    assert 'note: no full matrix of 1,9' in done.stdout
    assert [title.strip() for title in head.split('|')[6:-1]] == [
        *('time [ms]', '/ focal', '/ ours', 'growth', 'memory [MiB]')
    ]
    written = json.loads(out.read_text())
    assert (written['threads'], written['torch']) == (1, torch.__version__)
    small, large = written['sizes']
    assert (small['logits'], large['positives']) == (500, 50)
    ours = ['aLRP', 'AP', 'AP plain', 'AP hard', 'NDCG', 'RS', 'focal', 'sort']
    ours += ['bucketing (AP)', 'bucketing of relevant (AP)', 'bucketing (RS)']
    left_out = ['full matrix (aLRP)', 'loop (aLRP)']
    assert list(small['contestants']) == ours + left_out
    assert list(large['contestants']) == ours
    assert len(rows) == len(small['contestants']) + len(large['contestants'])
    for costs in small['contestants'].values():
        # A gradient, or the sorted logits, are the least that a call must hold.
        assert costs['seconds'] > 0 and costs['peak_bytes'] >= 4 * 500
        assert costs['kernels'] is None and costs['waits'] is None
    ratios = {row.split('|')[5].strip(): row.split('|')[8].strip() for row in rows}
    assert ratios['aLRP'] == ratios['focal'] == '-'
    times = {name: costs['seconds'] for name, costs in large['contestants'].items()}
    assert float(ratios['bucketing (RS)']) == pytest.approx(
        times['bucketing (RS)'] / times['RS'], rel=0.01
    )
    grown = {row.split('|')[5].strip(): row.split('|')[9].strip() for row in rows}
    before = small['contestants']['aLRP']['seconds']
    assert float(grown['aLRP']) == pytest.approx(times['aLRP'] / before, rel=0.01)
    assert rows[0].split('|')[9].strip() == '-'
    assert [path.name for path in tmp_path.iterdir()] == ['times.json']


def test_the_loop_and_the_matrix_that_are_timed_compute_the_same_gradient(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import ranking_contestants

    batch = ranking_contestants.make_batch(400, 12, torch.device('cpu'))
    expected = oracle.alrp_cls(*batch).grad.float()
    names = ('loop_over_positives', 'full_matrix', 'our_alrp')
    for contestant in (getattr(ranking_contestants, name) for name in names):
        torch.testing.assert_close(contestant(*batch), expected, rtol=1e-4, atol=1e-7)


def test_first_steps_and_spread_scores_are_timed_by_default(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import ranking_losses

    ranking_losses.main(['--sizes', '400', '800', '--positives', '5', '--repeat', '1'])
    rows = [line.split('|') for line in capsys.readouterr().out.splitlines() if line[:1] == '|']
    states = [row[1].strip() for row in rows[2:] if row[5].strip() == 'aLRP']
    assert states == ['first', 'first', 'spread', 'spread']
    growth = [row[9].strip() for row in rows[2:] if row[5].strip() == 'aLRP']
    assert growth[0] == growth[2] == '-' and growth[1] != '-' != growth[3]


@pytest.mark.parametrize(
    ('state', 'width', 'lift'), [('first', 0.04, 0), ('spread', 12, 0.6), ('trained', 17, 5)]
)
def test_states_of_the_scores(state, width, lift, monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import ranking_contestants

    batch = ranking_contestants.make_batch(20000, 2000, torch.device('cpu'), state=state)
    logits, targets = batch[0].detach(), batch[1]
    assert logits.max() - logits.min() <= width
    above = logits[targets == 1].mean() - logits[targets == 0].mean()
    assert float(above) == pytest.approx(lift, abs=0.1)


@pytest.mark.skipif(find_spec('triton') is None, reason='triton is not installed')
def test_the_fused_focal_loss_is_a_focal_loss(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import ranking_contestants

    device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
    logits, targets, loc_errors = ranking_contestants.make_batch(3000, 40, device)
    logits = (logits * 2).detach().requires_grad_()
    expected = ranking_contestants.focal(logits, targets, loc_errors)
    found = ranking_contestants.fused_focal(logits, targets, loc_errors)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-9)


def test_rank_sort_is_timed_on_the_ious_of_the_same_boxes(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import ranking_contestants

    logits, targets, loc_errors = ranking_contestants.make_batch(300, 12, torch.device('cpu'))
    parts = oracle.rank_sort(logits, targets, 1 - loc_errors / 2)
    expected = sum(part.grad for part in parts).float()
    found = ranking_contestants.our_rank_sort(logits, targets, loc_errors)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    ('args', 'said'),
    [
        (['--sizes', '10', '--positives', '20'], '20 positives do not fit into 10 logits'),
        (['--sizes', '1.5'], 'whole number'),
        (['--sizes', '100', '200'], '--positives is needed'),
        (['--sizes', '10', '20', '30', '--positives', '1', '2'], 'as --sizes, got 2'),
        (['--device', 'nowhere'], '--device'),
        (['--device', 'meta'], '--device must be cpu, cuda or cuda:N, got meta'),
        (['--json', 'no/such/folder/x.json'], 'no folder no/such/folder'),
        (['--json', str(BENCHMARKS)], 'is a folder'),
        (['--repeat', '0'], '--repeat'),
    ],
)
def test_wrong_arguments(args, said, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import ranking_losses

    with pytest.raises(SystemExit) as caught:
        ranking_losses.main(args)
    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert said in err and err.count('\n') == 1
    assert out == ''
