"""`torch.compile` around losses that rank, as `compile=True` of MMEngine puts it."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.append(str(Path(__file__).parent / 'dense_heads'))
sys.path.append(str(Path(__file__).parent / 'roi_heads'))

import detr_heads
import tiny_roi_heads
from kin_heads import kin
from mmdet.structures.bbox import bbox2roi
from mmengine.config import ConfigDict
from tiny_heads import batch, features

from mmdet_alrp.criteria import ALRPCriterion
from mmdet_alrp.ranking import average_precision_loss

if not hasattr(getattr(torch, 'compiler', None), 'is_compiling'):
    pytest.skip('this torch cannot tell whether it compiles', allow_module_level=True)


def leaves(*tensors):
    return [part.detach().clone().requires_grad_() for part in tensors]


def dense_head():
    head, _ = kin('RankingRetinaHead')
    scores, boxes = (leaves(*levels) for levels in head(features()))
    return head.loss_by_feat, [scores, boxes, *batch()], [*scores, *boxes]


def box_head():
    head = tiny_roi_heads.build(tiny_roi_heads.box_head())
    results = tiny_roi_heads.sampled(tiny_roi_heads.proposals(), tiny_roi_heads.truths())
    rois = bbox2roi([result.priors for result in results])
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(len(rois), tiny_roi_heads.CHANNELS, 2, 2, generator=generator)
    outputs = leaves(*head(features))
    targets = head.get_targets(results, ConfigDict(tiny_roi_heads.RCNN))
    return head.loss, [*outputs, rois, *targets], outputs


def detr_head():
    head = detr_heads.detr_head('RankingDeformableDETRHead')
    scores, boxes, more = detr_heads.predictions('RankingDeformableDETRHead')
    args = [scores, boxes, *more, detr_heads.truths(), detr_heads.METAS]
    return head.loss_by_feat, args, [scores, boxes, *more]


def criterion():
    generator = torch.Generator().manual_seed(0)
    logits, boxes = leaves(
        torch.randn(30, 4, generator=generator), torch.rand(5, 4, generator=generator)
    )
    classes = torch.cat([torch.arange(5) % 4, torch.full((25,), 4)])
    true_boxes = torch.rand(5, 4, generator=generator).sort().values
    call = ALRPCriterion(self_balance=False)
    return (
        lambda *args: call(*args)._asdict() | {'log': None},
        [logits, classes, boxes, true_boxes],
        [logits, boxes],
    )


def function():
    (logits,) = leaves(torch.randn(30, generator=torch.Generator().manual_seed(0)))
    return (
        lambda *args: {'loss': average_precision_loss(*args)},
        [logits, torch.arange(30) % 3 - 1],
        [logits],
    )


@pytest.fixture(autouse=True)
def forgotten():
    yield
    torch.compiler.reset()


@pytest.mark.parametrize('case', [dense_head, box_head, detr_head, criterion, function])
def test_same_losses_and_gradients(case):
    loss, args, inputs = case()
    found = []
    for call in (loss, torch.compile(loss, backend='eager')):
        losses = [value for name, value in call(*args).items() if 'loss' in name]
        grads = torch.autograd.grad(sum(losses), inputs, allow_unused=True)
        assert any(grad.any() for grad in grads if grad is not None)
        found.append((losses, grads))
    torch.testing.assert_close(found[1], found[0])
