import importlib.util
import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def tool():
    path = ROOT / 'tools' / 'documentation' / 'draw_weights.py'
    spec = importlib.util.spec_from_file_location('draw_weights', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hard_ranks(logits, targets):
    """Rank of every positive by counting, for logits that are all different."""
    places = [i for i, target in enumerate(targets) if target == 1]
    return [1 + sum(logits[j] > logits[i] for j in range(len(logits))) for i in places]


def weights_by_loops(logits, targets):
    logits, targets = logits.tolist(), targets.tolist()
    ranks = hard_ranks(logits, targets)
    scores = [logit for logit, target in zip(logits, targets, strict=True) if target == 1]
    return [
        sum(1 / rank for rank, score in zip(ranks, scores, strict=True) if score <= own)
        / len(scores)
        for own in scores
    ]


def test_weights_of_the_drawing_are_those_of_the_definition(tool):
    for before_each in tool.BEFORE_EACH:
        logits, targets = tool.spread_ranking(before_each)
        assert targets.sum() == tool.NUM_POSITIVES
        assert (targets == 0).sum() == before_each * tool.NUM_POSITIVES
        places = torch.arange(1, tool.NUM_POSITIVES + 1)
        assert (
            hard_ranks(logits.tolist(), targets.tolist()) == (places * (before_each + 1)).tolist()
        )
        expected = weights_by_loops(logits, targets)
        assert tool.box_weights(logits, targets).tolist() == pytest.approx(expected, abs=1e-12)


def test_weights_of_any_ranking_are_those_of_the_definition(tool):
    logits = torch.randn(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    targets = (torch.arange(40) % 5 == 0).long()
    expected = weights_by_loops(logits, targets)
    assert tool.box_weights(logits, targets).tolist() == pytest.approx(expected, abs=1e-12)


def test_surface_is_the_error_of_a_lone_positive(tool):
    ranks = torch.tensor([1, 1.25, 2, 2.75, 9], dtype=torch.float64)
    loc_errors = torch.tensor([0, 0.3, 1], dtype=torch.float64)
    found = tool.error_surface(ranks, loc_errors).tolist()
    for row, error in zip(found, loc_errors.tolist(), strict=True):
        expected = [(rank - 1 + error) / rank for rank in ranks.tolist()]
        assert row == pytest.approx(expected, abs=1e-6)


def test_page_has_the_numbers_of_the_drawing(tool):
    text = (ROOT / 'docs' / 'how_it_works.md').read_text('utf-8')
    (table,) = re.findall(r'\| false positives among.*?\n\n', text, re.DOTALL)
    for row, before_each in zip(table.strip().split('\n')[2:], tool.BEFORE_EACH, strict=True):
        count, *shown = (float(cell) for cell in row.strip('| ').split('|'))
        weights = tool.box_weights(*tool.spread_ranking(before_each))
        assert count == before_each * tool.NUM_POSITIVES
        expected = [weights[0], weights[9], weights[19], weights.sum()]
        assert shown == pytest.approx([value.item() for value in expected], abs=5e-5)
        logits, targets = (values.tolist() for values in tool.spread_ranking(before_each))
        precisions = [k / rank for k, rank in enumerate(hard_ranks(logits, targets), 1)]
        assert weights.sum().item() == pytest.approx(sum(precisions) / len(precisions))


def test_tool_writes_a_png_or_says_in_one_line_why_not(tool, tmp_path, capsys):
    assert tool.main([str(tmp_path / 'out.png')]) == 0
    assert (tmp_path / 'out.png').read_bytes().startswith(b'\x89PNG')
    assert [path.name for path in tmp_path.iterdir()] == ['out.png']
    capsys.readouterr()
    assert tool.main([str(tmp_path / 'gone' / 'out.png')]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith('draw_weights.py: error: ') and 'cannot be written' in line
