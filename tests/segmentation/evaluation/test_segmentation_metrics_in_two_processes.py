import math

import pytest
import torch
from in_processes import run_in_processes
from label_maps import random_maps, samples_of
from mmengine.evaluator import Evaluator

from mmdet_alrp.segmentation.evaluation import BoundaryMetric, RegionMetric, SODMetric

pytest.importorskip('py_sod_metrics')


def evaluate_share(rank, world_size):
    """Evaluate 5 images over the processes; one image is repeated, as a sampler pads."""
    pred, target = random_maps(2, size=(5, 40, 50))
    samples = samples_of(pred, target)
    generator = torch.Generator().manual_seed(0)
    for sample, labels in zip(samples, pred, strict=True):
        noise = torch.rand(labels.shape, generator=generator)
        sample['seg_logits'] = {'data': (0.7 * labels + 0.3 * noise)[None]}
    evaluator = Evaluator([RegionMetric(classwise=True), BoundaryMetric(), SODMetric()])
    evaluator.dataset_meta = {'classes': ('background', 'object')}
    evaluator.process([*samples, samples[0]][rank::world_size], {})
    return evaluator.evaluate(len(samples))


def test_two_processes_find_what_one_finds(tmp_path):
    alone = evaluate_share(0, 1)
    assert len(alone) == 4 + 4 + 2 + 9
    assert all(math.isfinite(value) and 0 < value < 1.01 for value in alone.values())
    assert run_in_processes(evaluate_share, 2, tmp_path) == [alone, alone]
