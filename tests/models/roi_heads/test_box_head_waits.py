"""A box head waits for the device once, to learn the number of positives."""

import sys
from pathlib import Path

import pytest
import torch
from mmdet.structures.bbox import bbox2roi
from mmengine.config import ConfigDict
from tiny_roi_heads import CHANNELS, RCNN, box_head, build, proposals, sampled, truths

if torch.cuda.is_available():
    pytest.skip('counted by the profiler there', allow_module_level=True)
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'ranking'))

from interpreted import interpret_kernels
from launch_counts import LaunchCounter


@pytest.mark.parametrize('agnostic', [False, True])
@pytest.mark.parametrize('scope', ['process', 'image'])
def test_targets_losses_and_gradients_wait_once(scope, agnostic, monkeypatch):
    interpret_kernels(monkeypatch)
    loss = {'type': 'ALRPLoss', 'use_sigmoid': True, 'scope': scope}
    head = build(box_head(reg_class_agnostic=agnostic, loss_cls=loss))
    results = sampled(proposals(), truths())
    rois = bbox2roi([result.priors for result in results])
    outputs = head(torch.randn(len(rois), CHANNELS, 2, 2))
    with LaunchCounter() as counter:
        losses = head.loss_and_target(*outputs, rois, results, ConfigDict(RCNN))['loss_bbox']
        (losses['loss_cls'] + losses['loss_bbox']).backward()
    assert counter.waits == 1
