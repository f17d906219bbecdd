"""float16 with a loss scaler: what a large self-balance ratio costs, simulated on a CPU."""

import pytest
import torch
from mmengine.config import Config
from torch import nn

from mmdet_alrp.cli import run_config
from mmdet_alrp.ranking import alrp_loss

DEFAULTS = {'init_scale': 2.0**16}  # those of GradScaler
# Early: positives among the negatives, first ratio. Later: on top, with a ratio from before that.
STAGES = {'first steps': (0.0, 50.0), 'just after the first epoch': (8.0, 1500.0)}


def train(lift: float, ratio: float, scaling: dict, steps: int = 60) -> tuple[int, float]:
    """Train a linear head in float16; return how many steps were skipped, and the last scale."""
    gen = torch.Generator().manual_seed(0)
    features = torch.randn(400, 32, generator=gen)
    targets = (torch.arange(4000) % 100 == 0).long()
    rows = torch.arange(4000)[targets == 1] // 10
    head = nn.ModuleList([nn.Linear(32, 10), nn.Linear(32, 4)])
    for layer in head:
        nn.init.normal_(layer.weight, std=0.01, generator=gen)
        nn.init.zeros_(layer.bias)
    aims = torch.randn(len(rows), 4, generator=gen)
    optim = torch.optim.SGD(head.parameters(), lr=1e-6)  # stays where the stage is
    scaler = torch.amp.GradScaler('cpu', **scaling)
    skipped = 0
    for _ in range(steps):
        optim.zero_grad()
        with torch.autocast('cpu', torch.float16):
            logits, boxes = (layer(features) for layer in head)
        assert logits.dtype == boxes.dtype == torch.float16
        errors = 1 - (-(boxes[rows].float() - aims).abs().sum(1)).exp()
        lifted = logits.flatten() + lift * targets
        loss_cls, loss_loc = alrp_loss(lifted, targets, errors)
        scaler.scale(loss_cls + ratio * loss_loc).backward()
        before = scaler.get_scale()
        scaler.step(optim)
        scaler.update()
        skipped += scaler.get_scale() < before
    return skipped, scaler.get_scale()


@pytest.mark.parametrize('stage', list(STAGES))
def test_no_more_than_a_handful_of_steps_is_skipped(stage):
    skipped, scale = train(*STAGES[stage], run_config.LOSS_SCALE)
    assert skipped <= 3
    assert scale >= 1


def test_a_large_ratio_would_cost_many_steps_without():
    skipped, _ = train(*STAGES['just after the first epoch'], DEFAULTS)
    assert skipped > 5


def test_no_gradient_on_negatives_is_lost_at_the_first_scale():
    """16 million negatives share a gradient of 1: times the scale that is a normal float16."""
    assert run_config.LOSS_SCALE['init_scale'] / 16e6 > torch.finfo(torch.float16).tiny


def config(**wrapper):
    return Config({'optim_wrapper': {'type': 'OptimWrapper', 'optimizer': {}, **wrapper}})


def test_amp_sets_the_loss_scale_and_leaves_that_of_a_config(monkeypatch):
    monkeypatch.setattr(run_config, 'is_cuda_available', lambda: True)
    cfg = config()
    run_config.use_mixed_precision(cfg)
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert dict(cfg.optim_wrapper.loss_scale) == run_config.LOSS_SCALE
    cfg = config(loss_scale=512.0)
    run_config.use_mixed_precision(cfg)
    assert cfg.optim_wrapper.loss_scale == 512.0


def test_the_scaler_knows_its_settings():
    scaler = torch.amp.GradScaler('cpu', **run_config.LOSS_SCALE)
    assert scaler.get_scale() == run_config.LOSS_SCALE['init_scale']
