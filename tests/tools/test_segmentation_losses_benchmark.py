"""The benchmark of segmentation losses compares what it names on the input it describes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / 'tools' / 'benchmarks'
SMALL = ['--size', '40', '--classes', '5', '--repeat', '1']


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import segmentation_losses

    return segmentation_losses


def test_table_and_json(tmp_path):
    out = tmp_path / 'losses.json'
    command = [sys.executable, str(BENCHMARKS / 'segmentation_losses.py'), *SMALL]
    command += ['--threads', '1', '--json', str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = [line.split(' | ') for line in done.stdout.splitlines() if line.startswith('|')]
    written = json.loads(out.read_text())
    assert (written['threads'], written['size'], written['classes']) == (1, 40, 5)
    inputs = written['inputs']
    assert [(row['channels'], row['present']) for row in inputs] == [(5, 1), (5, 5), (1, 2)]
    assert [cells[2] for cells in lines[2:]] == [name for row in inputs for name in row['losses']]
    for row in inputs:
        base, *others = row['losses'].values()
        assert base['seconds'] > 0 and len(others) >= 3
        assert all(costs['peak_bytes'] > 0 for costs in row['losses'].values())
    assert [cells[4] for cells in lines[2:] if cells[2].endswith('cross entropy')] == ['1'] * 3
    assert [path.name for path in tmp_path.iterdir()] == ['losses.json']


@pytest.mark.parametrize('present', [1, 3, 5])
def test_targets_hold_the_classes_asked_for(bench, present):
    args = bench.parse_args([*SMALL, '--batch', '3'])
    logits, targets = bench.make_batch(args, 5, present)
    assert logits.shape == (3, 5, 40, 40) and targets.shape == (3, 40, 40)
    assert targets.unique().tolist() == [*range(present), 255]
    assert 0.03 < (targets == 255).float().mean() < 0.07
    right = logits.argmax(1) == targets
    assert 0.5 < right[targets != 255].float().mean() < 0.95


def test_what_is_compared_computes_the_same(bench):
    pytest.importorskip('mmseg')
    args = bench.parse_args(SMALL)
    compared = 0
    for channels, present, losses in (
        (5, 3, bench.multi_class_losses()),
        (1, 2, bench.foreground_losses()),
    ):
        batch = bench.make_batch(args, channels, present)
        for theirs, own in bench.RIVALS.items():
            if theirs in losses:
                value, grad = bench.forward_backward(losses[own], *batch)
                expected, expected_grad = bench.forward_backward(losses[theirs], *batch)
                torch.testing.assert_close(value, expected)
                torch.testing.assert_close(grad, expected_grad, atol=1e-7, rtol=1e-3)
                compared += 1
    assert compared == len(bench.RIVALS)


def test_binary_cross_entropy_is_a_mean_over_valid_pixels(bench):
    logits = torch.tensor([[[[0.0, 3.0, 0.0]]]])
    value = bench.binary_cross_entropy(logits, torch.tensor([[[1, 255, 0]]]))
    assert value.item() == pytest.approx(0.6931472)


def test_without_mmsegmentation_the_others_are_timed(bench, monkeypatch, capsys):
    monkeypatch.setattr(bench, 'mmseg_lovasz', lambda: None)
    bench.main([*SMALL, '--present', '2'])
    out = capsys.readouterr().out
    assert out.startswith('note: MMSegmentation is not installed')
    assert '| Lovasz hinge |' in out and '| mmseg' not in out


@pytest.mark.parametrize(
    ('args', 'said'),
    [
        (['--classes', '1'], '--classes must be from 2 to 255, got 1'),
        (['--classes', '5', '--present', '6'], '--present 6 is more than the 5 --classes'),
        (['--device', 'meta'], '--device must be cpu, cuda or cuda:N, got meta'),
        (['--repeat', '0'], '--repeat'),
        (['--json', 'no/such/folder/x.json'], 'no folder no/such/folder'),
    ],
)
def test_wrong_arguments(bench, args, said, capsys):
    with pytest.raises(SystemExit) as caught:
        bench.main(args)
    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert said in err and err.count('\n') == 1
    assert out == ''
