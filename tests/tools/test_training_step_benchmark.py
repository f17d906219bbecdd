"""The benchmark of training steps trains what it names and books all time once."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / 'tools' / 'benchmarks'


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import training_step

    return training_step


def test_table_and_json(tmp_path):
    out = tmp_path / 'steps.json'
    command = [sys.executable, str(BENCHMARKS / 'training_step.py'), '--detectors']
    command += ['retinanet-atss', '--size', '64', '--batch', '1']
    command += ['--repeat', '2', '--threads', '1', '--json', str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith('|')]
    names = [f'{loss}_retinanet_atss_r50_500' for loss in ('focal', 'alrp')]
    assert [line.split(' | ')[0] for line in lines[2:]] == [f'| {name}' for name in names]
    written = json.loads(out.read_text())
    assert (written['threads'], written['size'], written['batch']) == (1, 64, 1)
    rows = written['rows']
    assert [row['config'] for row in rows] == names
    for row in rows:
        assert sum(row['shares'].values()) == pytest.approx(1)
        assert all(share > 0 for share in row['shares'].values())
        pairs = zip(row['wall_seconds'], rows[0]['wall_seconds'], strict=True)
        assert row['wall_ratios'] == pytest.approx([own / twin for own, twin in pairs])
        # Every parameter that trains has a gradient at the end: 36 million numbers or so.
        assert 4 * 25e6 < row['peak_bytes'] < 4 * 80e6
    assert rows[0]['wall_ratios'] == [1, 1] and rows[0]['memory_ratio'] == 1
    assert [path.name for path in tmp_path.iterdir()] == ['steps.json']


def test_time_inside_a_part_counts_for_the_inner_part_only(bench, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(bench.time, 'perf_counter', lambda: now[0])

    class Head:
        def loss_by_feat(self):
            now[0] += 1
            self.get_targets()
            now[0] += 2

        def get_targets(self):
            now[0] += 10

    head, watch = Head(), bench.Stopwatch(torch.device('cpu'))
    methods = [(head, 'loss_by_feat', 'loss'), (head, 'get_targets', 'targets')]
    for _ in range(2):
        with watch.running(methods):
            now[0] += 100
            head.loss_by_feat()
        now[0] += 1000  # between two steps
    booked = {part: spent for part, spent in watch.seconds.items() if spent}
    assert booked == {'loss': 6, 'targets': 20, 'rest': 200}
    assert vars(head) == {}


def test_the_contestants_of_a_detector_get_the_same_batch(bench):
    first, second = bench.make_batch(128, 3, 9), bench.make_batch(128, 3, 9)
    assert len(first['inputs']) == 3
    for image, other in zip(first['inputs'], second['inputs'], strict=True):
        assert image.shape == (3, 128, 128) and image.dtype == torch.uint8
        assert torch.equal(image, other)
    for sample, other in zip(first['data_samples'], second['data_samples'], strict=True):
        boxes = sample.gt_instances.bboxes
        assert torch.equal(boxes, other.gt_instances.bboxes) and boxes.shape == (9, 4)
        assert boxes.min() >= 0 and boxes.max() <= 128
        sides = boxes[:, 2:] - boxes[:, :2]
        assert sides.min() > 2 and sides.max() > 20
        assert torch.equal(sample.gt_instances.labels, other.gt_instances.labels)


def test_both_stages_are_timed(bench, monkeypatch):
    args = bench.parse_args(['--size', '64', '--proposals', '123'])
    monkeypatch.setattr(bench.Contestant, 'step', lambda self: {'loss': torch.zeros(())})
    contestant = bench.Contestant('alrp_faster_rcnn_r50_500', args)
    assert contestant.model.train_cfg.rpn_proposal.max_per_img == 123
    rpn, roi = contestant.model.rpn_head, contestant.model.roi_head
    timed = [(owner, part) for owner, _, part in contestant.timed_methods()]
    for owner, part in [
        *((rpn, part) for part in ('forward', 'targets', 'loss')),
        *((roi.bbox_head, part) for part in ('targets', 'loss')),
        *((rpn.assigner, 'assigner'), (roi.bbox_assigner, 'assigner'), (roi, 'forward')),
    ]:
        assert (owner, part) in timed
    with bench.Stopwatch(torch.device('cpu')).running(contestant.timed_methods()):
        pass  # every method is there


def test_memory_is_the_peak_and_not_the_sum(bench):
    def step():
        first = torch.zeros(1000)
        second = first + 1
        del first
        return second + 1  # two of the three at once

    contestant = SimpleNamespace(device=torch.device('cpu'), step=step)
    assert bench.Contestant.peak_bytes(contestant) == pytest.approx(8000, abs=500)


@pytest.mark.parametrize(
    ('args', 'said'),
    [
        (['--detectors', 'yolo'], "invalid choice: 'yolo'"),
        (['--losses', 'rs', '--detectors', 'foveabox'], 'no config rs_foveabox_r50_500.py'),
        (['--device', 'nowhere'], '--device'),
        (['--device', 'meta'], '--device must be cpu, cuda or cuda:N, got meta'),
        (['--size', '63'], '--size must be at least 64, got 63'),
        (['--batch', '0'], '--batch'),
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


def test_a_loss_that_is_not_a_number_ends_in_one_line(bench, monkeypatch, capsys):
    nan = {'loss': torch.tensor(float('nan'))}
    monkeypatch.setattr(bench.Contestant, 'step', lambda self: nan)
    with pytest.raises(SystemExit) as caught:
        bench.main(['--detectors', 'retinanet', '--size', '64'])
    out, err = capsys.readouterr()
    assert caught.value.code == 2
    assert 'focal_retinanet_r50_500: the loss is not finite' in err and err.count('\n') == 1
    assert out == ''
