"""The picture of the README: its gradients are the losses' own, its figures those of the text."""

import importlib.util
import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope='module')
def tool():
    path = ROOT / 'tools' / 'documentation' / 'draw_gradients.py'
    spec = importlib.util.spec_from_file_location('draw_gradients', path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module', params=['first step', 'later'])
def batch(tool, request):
    return tool.example(request.param)


def test_focal_gradient_is_that_of_its_definition(tool, batch):
    logits, targets = batch
    logits = logits.clone().requires_grad_()
    right = torch.where(targets == 1, logits, -logits).sigmoid()  # probability of the true answer
    alpha = torch.where(targets == 1, 0.25, 0.75)
    loss = -(alpha * (1 - right) ** 2 * right.log()).sum() / targets.sum()
    (expected,) = torch.autograd.grad(loss, logits)
    torch.testing.assert_close(tool.focal_gradient(*batch), expected)


def test_ranking_gradient_is_balanced_and_only_where_the_order_is_wrong(tool, batch):
    logits, targets = batch
    gradient = tool.ranking_gradient(logits, targets)
    assert tool.shares(gradient, targets) == pytest.approx((0.5, 0.5), abs=1e-9)
    positive, negative = logits[targets == 1], logits[targets == 0]
    ahead = positive > negative.max() + tool.DELTA
    behind = negative < positive.min() - tool.DELTA
    assert gradient[targets == 1][ahead].abs().sum() == 0
    assert gradient[targets == 0][behind].abs().sum() == 0
    assert (gradient[targets == 1][~ahead] < 0).all()


def test_readme_has_the_shares_of_the_drawing(tool):
    text = (ROOT / 'README.md').read_text('utf-8')
    (caption,) = re.findall(r'^\*What ranking changes.*', text, re.MULTILINE)
    shown = [int(number) for number in re.findall(r'(\d+) %', caption)]
    shares = [
        100 * tool.shares(tool.focal_gradient(*tool.example(batch)), tool.example(batch)[1])[0]
        for batch in tool.BATCHES
    ]
    assert shown == pytest.approx(shares, abs=0.5)


def test_tool_writes_a_png(tool, tmp_path):
    assert tool.main([str(tmp_path / 'out.png')]) == 0
    assert (tmp_path / 'out.png').read_bytes().startswith(b'\x89PNG')
