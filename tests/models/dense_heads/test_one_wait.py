"""A head's ranking waits for the device once, to learn the number of positives."""

import sys
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from torch import nn

from mmdet_alrp.models.dense_heads import RankingHeadMixin
from mmdet_alrp.models.dense_heads.loss_recorder import RecordedBatch
from mmdet_alrp.ranking import fused_passes

if torch.cuda.is_available():
    pytest.skip('counted by the profiler there', allow_module_level=True)
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'ranking'))

from interpreted import interpret_kernels
from launch_counts import LaunchCounter


class BareHead(nn.Module):
    def __init__(self, loss, **options):
        super().__init__()
        self.loss_cls = MODELS.build({'type': loss, **options})
        self.loss_bbox = MODELS.build({'type': 'GIoULoss', 'reduction': 'none'})


class BareRankingHead(RankingHeadMixin, BareHead):
    pass


@pytest.mark.parametrize('scope', ['process', 'image'])
@pytest.mark.parametrize('interpreted', [True, False])
@pytest.mark.parametrize('loss', ['ALRPLoss', 'APLoss', 'NDCGLoss', 'RankSortLoss'])
@pytest.mark.parametrize('dtype', [torch.float32, torch.float16])
def test_one_wait(loss, scope, interpreted, dtype, monkeypatch):
    if interpreted:
        interpret_kernels(monkeypatch)
    else:
        monkeypatch.setenv(fused_passes.SWITCH, '0')
    gen = torch.Generator().manual_seed(0)
    corners = torch.rand(60, 2, generator=gen)
    boxes = torch.cat([corners, corners + 1], 1).requires_grad_()
    scores = torch.randn(60, 5, generator=gen).to(dtype).requires_grad_()
    recorded = RecordedBatch(
        scores,
        torch.randint(0, 12, (60,), generator=gen).clamp(max=5),
        torch.rand(60, generator=gen).round(),
        boxes,
        boxes.detach() + 0.1,
        images=torch.arange(60) % 2 if scope == 'image' else None,
        num_images=2,
    )
    head = BareRankingHead(loss, scope=scope)
    with LaunchCounter() as counter:
        losses = head.ranking_losses(recorded)
        (losses['loss_cls'] + losses['loss_bbox']).backward()
    kernels = [name for name in counter.counts if name.startswith('triton')]
    assert bool(kernels) == interpreted
    if interpreted:
        # Rank & Sort waits again for the boxes that hit; a CPU also looks at their IoUs.
        assert counter.waits == (3 if loss == 'RankSortLoss' else 1)
        assert scores.grad.dtype == dtype and (scores.grad != 0).any()
    assert bool(head.last_losses_finite)
    with torch.no_grad():
        broken = scores.clone()
        broken[recorded.label_weights == 0] = torch.nan  # no loss shows these
        losses = head.ranking_losses(recorded._replace(cls_score=broken))
    assert losses['loss_cls'].isfinite() and not head.last_losses_finite
