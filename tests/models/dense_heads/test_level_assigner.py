import pytest
import torch
from tiny_heads import (
    ASSIGNERS,
    ATSS,
    MAX_IOU,
    batch,
    boxes_of,
    features,
    gather_by_hand,
    tiny_head,
)

NONE_IGNORED = [boxes_of(), boxes_of()]  # as data pipelines hand it over


def positives(head, truths, metas):
    """How many anchors the head makes positive."""
    sizes = [level.shape[-2:] for level in features()]
    anchors, valid = head.get_anchors(sizes, metas, device='cpu')
    labels = torch.cat(head.get_targets(anchors, valid, truths, metas, NONE_IGNORED)[0], dim=1)
    return int(((labels >= 0) & (labels < head.num_classes)).sum())


def positives_of_the_assigner(head, truths, metas, **options):
    targets = gather_by_hand(head, head(features()), truths, metas, **options)[1]
    return int((targets == 1).sum())


@pytest.mark.parametrize('kind', ['RankingRetinaHead', 'RetinaATSSHead'])
@pytest.mark.parametrize('assigner', ASSIGNERS.values(), ids=ASSIGNERS)
@pytest.mark.parametrize('border', [-1, 0])
def test_positives_are_those_of_the_assigner(kind, assigner, border):
    head = tiny_head(kind, assigner, border)
    truths, metas = batch(shapes=((64, 64), (56, 60)))
    expected = positives_of_the_assigner(head, truths, metas, assigner=assigner, border=border)
    assert positives(head, truths, metas) == expected > 0


def test_stock_head_finds_no_positive_with_the_atss_assigner():
    """The reason for the mixin; if this fails, MMDetection has repaired its head."""
    assert positives(tiny_head('RetinaHead', ATSS), *batch()) == 0


def test_stock_head_agrees_on_the_max_iou_assigner():
    expected = positives(tiny_head('RetinaHead', MAX_IOU), *batch())
    assert positives(tiny_head('RetinaATSSHead', MAX_IOU), *batch()) == expected > 0


def test_focal_head_with_atss_trains_boxes():
    head = tiny_head('RetinaATSSHead', ATSS)
    losses = head.loss_by_feat(*head(features()), *batch(), NONE_IGNORED)
    assert sum(losses['loss_bbox']) > 0
    stock = tiny_head('RetinaHead', ATSS)
    assert sum(stock.loss_by_feat(*stock(features()), *batch(), NONE_IGNORED)['loss_bbox']) == 0
