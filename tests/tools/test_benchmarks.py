"""The benchmarks run in small, time what they say, and refuse wrong use in one line."""

import importlib
import json
import sys
from itertools import pairwise
from types import SimpleNamespace

import frame
import pytest
import torch
from in_processes import start_processes
from tiny_runs import REPO

CPU = torch.device('cpu')
SHAPES = [f'configs/{loss}_retinanet_r18_shapes.py' for loss in ('focal', 'alrp')]


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def run(name, options, tmp_path, capsys):
    """Rows of the table by their first cell, and the JSON, of a benchmark in this process."""
    out = tmp_path / 'out.json'
    assert not importlib.import_module(name).main([*options, '--threads', '1', '--json', str(out)])
    printed = capsys.readouterr().out
    head, rule, *rows = [
        [cell.strip() for cell in line.strip('|').split('|')]
        for line in printed.splitlines()
        if line.startswith('|')
    ]
    assert {len(row) for row in rows} == {len(head)} == {len(rule)}
    written = json.loads(out.read_text())
    assert (written['threads'], written['torch']) == (1, torch.__version__)
    assert [path.name for path in tmp_path.iterdir()] == ['out.json']
    return SimpleNamespace(
        rows=[dict(zip(head, row, strict=True)) for row in rows], json=written, printed=printed
    )


def test_ranking_losses(tmp_path, capsys):
    options = ['--sizes', '500', '2e3', '--positives', '5', '50', '--loop-limit', '50000']
    found = run('ranking_losses', [*options, '--repeat', '2'], tmp_path, capsys)
    assert 'note: no loop at 2,000 logits x 50 positives' in found.printed
    by_size = found.json['sizes']
    states = [(row['state'], row['logits'], row['positives']) for row in by_size]
    assert states == [
        (state, *size) for state in ('first', 'spread') for size in ((500, 5), (2000, 50))
    ]
    assert by_size[0]['contestants'].keys() - by_size[1]['contestants'].keys() == {'loop (aLRP)'}
    for costs in by_size[0]['contestants'].values():
        # A gradient, or the sorted logits, are the least that a call must hold.
        assert costs['seconds'] > 0 and costs['peak_bytes'] >= 4 * 500 and costs['waits'] is None
    last = {row['contestant']: row for row in found.rows if row['logits'] == '2,000'}
    seconds = {name: costs['seconds'] for name, costs in by_size[-1]['contestants'].items()}
    assert (
        last['aLRP']['/ ours'] == last['focal']['/ ours'] == '-' and last['focal']['/ focal'] == '1'
    )
    for name, other in (('bucketing (RS)', 'RS'), ('sort', 'aLRP')):
        expected = seconds[name] / seconds[other]
        assert float(last[name]['/ ours']) == pytest.approx(expected, rel=0.01)


def test_global_ranking(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr('torch.multiprocessing.spawn', start_processes)
    size = ['--logits', '2e4', '--positives', '30', '--processes', '2', '--images', '3']
    found = run('global_ranking', [*size, '--repeat', '1'], tmp_path, capsys)
    assert [row['scope'] for row in found.rows] == ['image'] * 4 + ['global'] * 4
    rows = found.json['rows']
    assert all(row['scope_seconds'] > 0 < row['process_seconds'] for row in rows)
    assert all(row['collectives'] == row['bytes'] == 0 for row in rows[:4])
    # At least the logits of the own positives; at most them, their errors and a few tables of two
    # numbers for the two breakpoints of each of all positives.
    for row in rows[4:]:
        assert row['collectives'] >= 3 and 4 * 30 < row['bytes'] < 4 * 2 * 2 * 8 * 2 * 30


def test_training_step(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(REPO)
    size = ['--size', '64', '--batch', '1', '--repeat', '2']
    found = run('training_step', [*SHAPES, *size], tmp_path, capsys)
    rows = found.json['rows']
    assert [row['config'] for row in rows] == [row['config'] for row in found.rows]
    for row in rows:
        assert sum(row['shares'].values()) == pytest.approx(1)
        assert all(share > 0 for share in row['shares'].values())
        pairs = zip(row['wall_seconds'], rows[0]['wall_seconds'], strict=True)
        assert row['wall_ratios'] == pytest.approx([own / twin for own, twin in pairs])
        assert row['peak_bytes'] > 1e6  # maps of the features
    assert rows[0]['wall_ratios'] == [1, 1] and rows[0]['memory_ratio'] == 1


def test_segmentation_losses(tmp_path, capsys, monkeypatch):
    import segmentation_losses

    monkeypatch.setattr(segmentation_losses, 'mmseg_lovasz', lambda: None)
    small = ['--size', '40', '--classes', '5', '--repeat', '1']
    found = run('segmentation_losses', small, tmp_path, capsys)
    assert found.printed.startswith('note: MMSegmentation is not installed')
    inputs = found.json['inputs']
    assert [(row['channels'], row['present']) for row in inputs] == [(5, 1), (5, 5), (1, 2)]
    assert [row['loss'] for row in found.rows] == [name for row in inputs for name in row['losses']]
    assert not any(row['loss'].startswith('mmseg') for row in found.rows)
    assert [row['/ CE'] for row in found.rows if 'cross entropy' in row['loss']] == ['1'] * 3


@pytest.mark.parametrize('present', [1, 5])
def test_targets_of_a_segmentation_hold_the_classes_asked_for(present):
    import segmentation_losses

    args = segmentation_losses.parse_args(['--size', '40', '--classes', '5', '--batch', '3'])
    logits, targets = segmentation_losses.make_batch(args, 5, present)
    assert logits.shape == (3, 5, 40, 40) and targets.unique().tolist() == [*range(present), 255]
    right = logits.argmax(1) == targets
    assert 0.5 < right[targets != 255].float().mean() < 0.95


def test_segmentation_losses_that_are_compared_are_the_same():
    pytest.importorskip('mmseg')
    import segmentation_losses as bench

    args = bench.parse_args(['--size', '40', '--classes', '5'])
    compared = set()
    for channels, losses in ((5, bench.multi_class_losses()), (1, bench.foreground_losses())):
        batch = bench.make_batch(args, channels, min(channels + 1, 3))
        for theirs in bench.RIVALS.keys() & losses:
            value, grad = bench.forward_backward(losses[bench.RIVALS[theirs]], *batch)
            expected, expected_grad = bench.forward_backward(losses[theirs], *batch)
            torch.testing.assert_close(value, expected)
            torch.testing.assert_close(grad, expected_grad, atol=1e-7, rtol=1e-3)
            compared.add(theirs)
    assert compared == bench.RIVALS.keys()


def test_operators(tmp_path, capsys):
    lookup = 'mmdet_alrp.operators.lookup'
    pytest.importorskip(lookup, reason='the operators need torchvision', exc_type=ImportError)
    small = ['--boxes', '20', '--rois', '4', '--size', '9', '--channels', '4', '--repeat', '1']
    found = run('operators', small, tmp_path, capsys)
    assert [row['operator'] for row in found.rows] == list(found.json['seconds'])
    assert all(times['torchvision'] > 0 for times in found.json['seconds'].values())


def test_evaluation(tmp_path, capsys):
    pytest.importorskip('faster_coco_eval', reason='faster-coco-eval is optional')
    found = run('evaluation', ['--images', '12', '--repeat', '2'], tmp_path, capsys)
    assert 'the same on all sides to the last bit' in found.printed
    rows = found.json['rows']
    for row, shown in zip(rows, found.rows, strict=True):
        best, first = min(row['cpu_seconds']), min(rows[0]['cpu_seconds'])
        assert len(row['cpu_seconds']) == 2 and best > 0
        assert float(shown['of AP by pycocotools']) == pytest.approx(best / first, abs=0.006)
    assert rows[0]['of_the_same'] == rows[4]['of_the_same'] == 1


def test_evaluation_reports_other_numbers(monkeypatch, capsys):
    import evaluation

    monkeypatch.setitem(sys.modules, 'faster_coco_eval', None)
    monkeypatch.setattr(evaluation, 'as_the_metric', lambda *_, backend: {'AP': 0.5, 'oLRP': 0.5})
    assert evaluation.main(['--images', '3', '--repeat', '1']) == 1
    printed = capsys.readouterr().out
    assert 'AP of pycocotools, as CocoLRPMetric: 0.5, not' in printed
    assert 'oLRP of pycocotools, as CocoLRPMetric: 0.5, not' in printed
    assert 'pip install faster-coco-eval' in printed and '| faster_coco_eval' not in printed


@pytest.mark.skipif(torch.cuda.is_available(), reason='runs as a whole there')
def test_gpu_check(monkeypatch, capsys):
    pytest.importorskip('triton', minversion='3.0')  # as in tests/ranking/interpreted.py
    import gpu_check

    monkeypatch.setenv(gpu_check.SWITCH, 'interpret')
    monkeypatch.setitem(gpu_check.SIZES, 'cpu', ((400, 9),))
    monkeypatch.setattr(gpu_check, 'STATES', {'first': gpu_check.STATES['first']})
    monkeypatch.setattr(gpu_check, 'LOSSES', {'aLRP': gpu_check.our_alrp})
    monkeypatch.setattr(gpu_check, 'targets_that_differ', lambda device: iter(()))
    assert gpu_check.main(['--device', 'cpu', '--parts', 'check']) == 0
    assert 'aLRP, 400 logits, first: largest difference' in capsys.readouterr().out
    monkeypatch.setattr(gpu_check, 'by_pytorch', lambda loss, batch: loss(*batch) * 1.001)
    assert gpu_check.main(['--device', 'cpu', '--parts', 'check']) == 1
    assert 'FAILED: aLRP, 400 logits, first: kernels' in capsys.readouterr().out
    monkeypatch.setattr(gpu_check, 'can_fuse', lambda *args: False)
    assert gpu_check.main(['--device', 'cpu', '--parts', 'check']) == 1
    assert 'FAILED: the kernels do not run here' in capsys.readouterr().out
    assert gpu_check.main([]) == 2
    assert 'there is no GPU' in capsys.readouterr().err


def test_time_inside_a_part_counts_for_the_inner_part_only(monkeypatch):
    import stopwatch

    now = [0.0]
    monkeypatch.setattr(stopwatch.time, 'perf_counter', lambda: now[0])

    class Head:
        def loss_by_feat(self):
            now[0] += 1
            self.get_targets()
            now[0] += 2

        def get_targets(self):
            now[0] += 10

    head, watch = Head(), stopwatch.Stopwatch(CPU)
    methods = [(head, 'loss_by_feat', 'loss'), (head, 'get_targets', 'targets')]
    for _ in range(2):
        with watch.running(methods):
            now[0] += 100
            head.loss_by_feat()
        now[0] += 1000  # between two steps
    booked = {part: spent for part, spent in watch.seconds.items() if spent}
    assert booked == {'loss': 6, 'targets': 20, 'rest': 200}
    assert vars(head) == {}


def test_both_stages_of_a_detector_are_timed(monkeypatch):
    import training_step

    args = training_step.parse_args(['--size', '64', '--proposals', '123', '--batch', '3'])
    monkeypatch.setattr(training_step.Contestant, 'step', lambda self: {'loss': torch.zeros(())})
    config = REPO / 'configs' / 'alrp_faster_rcnn_r50_500.py'
    contestant = training_step.Contestant(config, args)
    assert contestant.model.train_cfg.rpn_proposal.max_per_img == 123
    with training_step.Stopwatch(CPU).running(contestant.timed_methods()):
        pass  # every method is there
    again = training_step.make_batch(64, 3, 7)
    assert len(contestant.batch['inputs']) == 3
    for image, other in pairwise([*contestant.batch['inputs'][:1], *again['inputs'][:1]]):
        assert torch.equal(image, other)
    boxes = contestant.batch['data_samples'][2].gt_instances.bboxes
    assert torch.equal(boxes, again['data_samples'][2].gt_instances.bboxes)
    assert boxes.shape == (7, 4) and boxes.min() >= 0 and boxes.max() <= 64


def test_peak_memory_of_a_call():
    def call():
        first = torch.zeros(10**6)  # 4 MB
        second = first + 1  # 8 MB
        del first
        third = second.double()  # 4 + 8 MB
        del second
        return third[:10].clone()

    costs = frame.costs_of(call, CPU)
    assert 12e6 <= costs.pop('peak_bytes') < 12.1e6
    assert set(costs.values()) == {None}


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_costs_on_cuda():
    values = torch.ones(10**6, device='cuda')
    costs = frame.costs_of(lambda: (values * 2).sum().item(), values.device)
    assert costs['kernels'] >= 2 and costs['waits'] >= 1 and costs['peak_bytes'] >= 4e6
    costs = frame.costs_of(lambda: values * 2, values.device)
    assert (costs['kernels'], costs['waits']) == (1, 0) and 0 < costs['gpu_seconds'] < 1


@pytest.mark.parametrize(
    ('name', 'options', 'said'),
    [
        ('ranking_losses', '--sizes 10 --positives 20', '20 positives do not fit into 10 logits'),
        ('ranking_losses', '--sizes 1.5', 'whole number'),
        ('ranking_losses', '--sizes 100 200', '--positives is needed'),
        ('ranking_losses', '--sizes 10 20 30 --positives 1 2', 'as --sizes, got 2'),
        ('ranking_losses', '--device nowhere', '--device'),
        ('ranking_losses', '--device meta', '--device must be cpu, cuda or cuda:N, got meta'),
        ('ranking_losses', '--json no/such/folder/x.json', 'no folder no/such/folder'),
        ('ranking_losses', f'--json {REPO}', 'is a folder'),
        ('ranking_losses', '--repeat 0', '--repeat'),
        ('global_ranking', '--logits 10 --positives 2 --images 11', '11 images are more than 10'),
        ('global_ranking', '--processes 1', '--processes must be 2 or more'),
        ('training_step', '--losses rs --detectors foveabox', 'no config rs_foveabox_r50_500.py'),
        ('training_step', 'none.py', 'there is no config none.py'),
        ('training_step', '--size 63', '--size must be at least 64, got 63'),
        ('segmentation_losses', '--classes 1', '--classes must be from 2 to 255, got 1'),
        ('segmentation_losses', '--classes 5 --present 6', '6 is more than the 5 --classes'),
    ],
)
def test_wrong_use_is_one_line(name, options, said, capsys):
    with pytest.raises(SystemExit) as caught:
        importlib.import_module(name).main(options.split())
    out, err = capsys.readouterr()
    assert caught.value.code == 2 and out == ''
    assert err.startswith(f'{name}.py: error: ') and said in err and err.count('\n') == 1


def test_a_loss_that_is_not_a_number_ends_in_one_line(monkeypatch, capsys):
    import training_step

    nan = {'loss': torch.tensor(float('nan'))}
    monkeypatch.setattr(training_step.Contestant, 'step', lambda self: nan)
    with pytest.raises(SystemExit) as caught:
        training_step.main([str(REPO / SHAPES[0]), '--size', '64'])
    out, err = capsys.readouterr()
    assert caught.value.code == 2 and out == ''
    assert 'the loss is not finite' in err and err.count('\n') == 1
