"""What index, how_it_works, own_loss, evaluation and faq show runs and comes out as they say."""

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

import mmdet_alrp  # noqa: F401 - registers what the pages name

ROOT = Path(__file__).resolve().parents[1]


def text_of(page):
    return (ROOT / 'docs' / f'{page}.md').read_text('utf-8')


def blocks_of(page, language='python'):
    return re.findall(rf'```{language}\n(.*?)```', text_of(page), re.DOTALL)


def load_tool(path):
    spec = importlib.util.spec_from_file_location('page_tool', ROOT / path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run_blocks(page, blocks, names=None):
    names = {} if names is None else names
    for block in blocks:
        exec(compile(block, f'{page}.md', 'exec'), names)
    return names


def numbers_of(row):
    return [float(cell.strip(' *')) for cell in row.split('|')[2:-1] if cell.strip()]


def row_of(page, start):
    (row,) = (line for line in text_of(page).split('\n') if line.startswith(f'| {start}'))
    return row


@pytest.fixture(scope='module')
def theory():
    blocks = blocks_of('how_it_works')
    assert len(blocks) == 3
    return run_blocks('how_it_works', blocks)


def test_toy_example_has_the_numbers_of_the_page(theory):
    expected = {'C&R1': (0.3583, 0.1717, 0.5300), 'C&R2': (0.3583, 0.3342, 0.6925)}
    expected['C&R3'] = (0.3583, 0.5342, 0.8925)
    for name, (cls, loc, total) in expected.items():
        found = [part.item() for part in theory['toy_losses'][name]]
        assert found == pytest.approx([cls, loc], abs=5e-5)
        assert sum(found) == pytest.approx(total, abs=5e-5)
        shown = f'{cls:.4f} + {loc:.4f} = {total:.4f} |'.replace('0.', '.')
        assert re.search(rf'\| {name}.*{re.escape(shown)}', text_of('how_it_works')), name
    assert theory['toy_ap_loss'].item() == pytest.approx(0.3583, abs=5e-5)


def test_toy_example_by_plain_arithmetic(theory):
    num_fp, ranks, errors = (0, 1, 3, 6), (1, 3, 6, 10), (0.1, 0.4, 0.7, 1.0)
    cls = [n / r for n, r in zip(num_fp, ranks, strict=True)]
    loc = [sum(errors[: i + 1]) / r for i, r in enumerate(ranks)]
    left = [e / r for e, r in zip(errors, ranks, strict=True)]
    total = [c + b for c, b in zip(cls, loc, strict=True)]
    moved = [t - rest for t, rest in zip(total, left, strict=True)]
    rows = {'N_FP / rank': cls, 'C&R1: errors E': errors, 'C&R1: sum of E': loc}
    rows |= {'C&R1: aLRP error': total, 'C&R1: target': left, 'C&R1: l - l': moved}
    for start, values in rows.items():
        shown = numbers_of(row_of('how_it_works', start))
        assert shown[:4] == pytest.approx(values, abs=5e-5), start
        if len(shown) == 5:
            assert shown[4] == pytest.approx(sum(values) / 4, abs=5e-5), start
    gradient = theory['toy_gradient'].tolist()
    shares = [0.1703, 0.0786, 0.0786, 0.03, 0.03, 0.03]
    assert [gradient[j] for j in (1, 3, 4, 6, 7, 8)] == pytest.approx(shares, abs=5e-5)
    assert [gradient[i] for i in (0, 2, 5, 9)] == pytest.approx([-m / 4 for m in moved], abs=1e-9)


def test_bins_of_the_drawing(theory):
    assert theory['edges'].tolist() == pytest.approx([-2.2, -0.6, -0.2, 0.0, 1.4, 2.0])
    assert theory['counts'].tolist() == [8, 21, 3, 1, 6, 1, 0]
    assert theory['by_bins'].tolist() == pytest.approx([20.7162, 4.2857, 1.8176], abs=5e-5)
    torch.testing.assert_close(theory['by_bins'], theory['by_pairs'])


def test_drawing_is_of_the_example_on_the_page(theory, tmp_path):
    drawing = load_tool('tools/documentation/draw_breakpoints.py')
    logits, targets = drawing.example()
    torch.testing.assert_close(logits.detach(), theory['logits'])
    assert targets.equal(theory['targets']) and theory['ranking'].delta == drawing.DELTA
    drawing.draw(tmp_path / 'out.png')
    assert (tmp_path / 'out.png').read_bytes().startswith(b'\x89PNG')
    assert [path.name for path in tmp_path.iterdir()] == ['out.png']


@pytest.fixture
def own_loss(tmp_path, monkeypatch):
    """The three blocks of the page; the first two that are files lie in a folder on the path."""
    blocks = blocks_of('own_loss')
    assert len(blocks) == 3
    for block in (blocks[0], blocks[2]):
        (tmp_path / re.match(r'# (\w+\.py)\n', block)[1]).write_text(block, 'utf-8')
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path, blocks[1]
    sys.modules.pop('my_losses', None)
    from mmdet.registry import MODELS

    MODELS.module_dict.pop('TopHeavyLoss', None)


def test_own_loss_agrees_with_its_loops_and_trains_a_head(own_loss):
    from mmdet.registry import MODELS
    from mmengine.structures import InstanceData

    folder, check = own_loss
    names = run_blocks('own_loss', [check])
    assert 0 < names['loss'].item() < 1

    config = Config.fromfile(folder / 'my_config.py').model
    assert config.bbox_head.type == 'RankingRetinaHead'
    small = {'in_channels': 8, 'feat_channels': 8, 'stacked_convs': 1, 'num_classes': 3}
    head = MODELS.build({**config.bbox_head, **small, 'train_cfg': config.train_cfg})
    assert type(head.loss_cls).__name__ == 'TopHeavyLoss' and head.loss_cls.half == 10
    torch.manual_seed(0)
    outputs = head([torch.randn(1, 8, side, side) for side in (16, 8, 4, 2, 1)])
    objects = InstanceData(bboxes=torch.tensor([[8.0, 8.0, 72.0, 72.0]]), labels=torch.tensor([1]))
    meta = {'img_shape': (128, 128), 'pad_shape': (128, 128), 'batch_input_shape': (128, 128)}
    losses = head.loss_by_feat(*outputs, [objects], [meta])
    assert 0 < losses['loss_cls'] < 1 and losses['self_balance_ratio'] == 50
    (losses['loss_cls'] + losses['loss_bbox']).backward()
    assert head.retina_cls.weight.grad.abs().sum() > 0
    with pytest.raises(ValueError, match='half must be a positive number'):
        MODELS.build({**config.bbox_head.loss_cls, 'half': 0})


@pytest.fixture(scope='module')
def judged(tmp_path_factory):
    """The program of the page, run in a folder of its own."""
    folder = tmp_path_factory.mktemp('evaluation')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return folder, run_blocks('evaluation', blocks_of('evaluation')[:1])


def test_class_by_hand_is_judged_as_the_page_says(judged):
    _, names = judged
    figures = names['figures']
    found = [figures[key] for key in ('oLRP', 'oLRP_Loc', 'oLRP_FP', 'oLRP_FN', 'AP50')]
    assert found == pytest.approx([0.65, 0.15, 1 / 3, 1 / 3, 0.554], abs=5e-4)
    assert names['thresholds'] == {'cell': 0.6} and figures['rho'] == pytest.approx(1)
    by_hand = [(0.2 + 0 + 2) / 3, (0.2 + 1 + 2) / 4, (0.2 + 0.4 + 1 + 1) / 4]
    assert names['curve'].lrp.tolist() == pytest.approx(by_hand)
    shown = re.findall(r'= \**(\.\d+)', text_of('evaluation').partition('As files')[0])
    assert [float(number) for number in shown] == pytest.approx(by_hand, abs=5e-4)


def test_commands_of_the_evaluation_page_run(judged, monkeypatch, capsys):
    folder, _ = judged
    monkeypatch.chdir(folder)
    (commands,) = blocks_of('evaluation', 'sh')
    for line in commands.strip().split('\n'):
        python, tool, *options = shlex.split(line)
        assert python == 'python'
        assert not load_tool(tool).main(options), line
        assert 'oLRP' in capsys.readouterr().out
    assert (folder / 'figures.json').is_file() and list((folder / 'plots').glob('*.png'))
