import pytest
import torch
from documented_heads import REGISTERED
from mmengine.model import BaseModel
from tiny_roi_heads import (
    CLASSES,
    MASK,
    box_head,
    cascade,
    features,
    instances,
    no_proposals,
    proposals,
    rank_sort_masks,
    samples,
    standard,
    truths,
)

OWN = box_head('OwnBBoxHead', conv_out_channels=4)
STAGES = {
    'standard': standard,
    'own': lambda: standard(bbox_head=OWN),
    'mask': lambda: standard(**MASK),
    'mask balanced': rank_sort_masks,
    'cascade': cascade,
    'cascade by class': lambda: cascade(agnostic=False),
}
BATCHES = {
    'usual': (proposals, truths),
    'no ground truth': (proposals, lambda: [instances(), instances()]),
    'no proposal': (no_proposals, truths),
}


@pytest.mark.parametrize('stage', STAGES)
@pytest.mark.parametrize('batch', BATCHES)
def test_every_parameter_is_trained_in_every_step(stage, batch):
    """A parameter without gradient would make the other processes of a group wait."""
    roi_head = STAGES[stage]()
    found, true_boxes = (make() for make in BATCHES[batch])
    losses = roi_head.loss(features(), found, samples(true_boxes))
    total, log = BaseModel.parse_losses(roi_head, losses)
    prefixes = ['s0.', 's1.', 's2.'] if 'cascade' in stage else ['']
    for prefix in prefixes:
        assert {f'{prefix}{key}' for key in ('loss_cls', 'loss_bbox', 'loc_error')} <= set(log)
        assert (losses[f'{prefix}loss_cls'] > 0) == (batch == 'usual')
    total.backward()
    missing = [name for name, part in roi_head.named_parameters() if part.grad is None]
    assert not missing


@pytest.mark.parametrize('stage', STAGES)
def test_predictions(stage):
    roi_head = STAGES[stage]().eval()
    with torch.no_grad():
        results = roi_head.predict(features(), proposals(), samples(truths()))
    for result in results:
        assert len(result) == 10 and set(result.labels.tolist()) <= set(range(CLASSES))
        assert result.bboxes.isfinite().all()
        assert ((result.scores > 0) & (result.scores < 1)).all()
        if 'mask' in stage:
            assert result.masks.shape == (10, 64, 64)


def test_documented_box_head_is_the_one_that_trains():
    assert type(STAGES['own']().bbox_head) is REGISTERED['OwnBBoxHead']
