"""Targets of a whole batch at once are those that MMDetection makes image by image, bit by bit."""

from pathlib import Path

import pytest
import torch
from mmengine.structures import InstanceData
from tiny_heads import ATSS, MAX_IOU, STRIDES, tiny_head

from mmdet_alrp.models.dense_heads import batch_assigner
from mmdet_alrp.models.dense_heads.batch_targets import BatchTargetsMixin

PUBLISHED = {'type': 'MaxIoUAssigner', 'pos_iou_thr': 0.5, 'neg_iou_thr': 0.4, 'min_pos_iou': 0}
ASSIGNERS = {
    'MaxIoU': PUBLISHED,
    'RPN': {**PUBLISHED, 'pos_iou_thr': 0.7, 'neg_iou_thr': 0.3, 'min_pos_iou': 0.3},
    'band of negatives': {**PUBLISHED, 'neg_iou_thr': (0.1, 0.4)},
    'one anchor a box': {**PUBLISHED, 'gt_max_assign_all': False},
    'no low quality': {**PUBLISHED, 'match_low_quality': False},
    'ATSS': {'type': 'ATSSAssigner', 'topk': 9},
    'ATSS, one a level': {'type': 'ATSSAssigner', 'topk': 1},
}
# ATSSHead hands its assigner the sizes of the levels, which MaxIoUAssigner does not take.
KINDS = [('RankingRetinaHead', name) for name in ASSIGNERS]
KINDS += [('RankingATSSHead', name) for name in ASSIGNERS if 'ATSS' in name]
every_kind = pytest.mark.parametrize(('kind', 'assigner'), KINDS)
SIDE = 64


def boxes_of_scene(kind, gen):
    """Boxes of one image; with ties, those of a coarse grid, some of them twice."""
    count = {'empty': 0, 'one': 1, 'few': 5, 'ties': 12, 'crowded': 90, 'far': 3}[kind]
    corners = torch.rand(count, 2, generator=gen) * SIDE * 0.7
    sides = 2 + torch.rand(count, 2, generator=gen) * SIDE * 0.6
    boxes = torch.cat([corners, (corners + sides).clamp(max=SIDE)], 1)
    if kind == 'ties':
        boxes = torch.cat([(corners / 8).round() * 8, (corners / 8).round() * 8 + 16], 1)
        boxes[6:] = boxes[:6]
    if kind == 'far':  # beside all anchors' reach
        boxes = boxes + 5000
    labels = torch.randint(3, (count,), generator=gen)
    return InstanceData(bboxes=boxes, labels=labels)


SCENES = {
    'one image': ['few'],
    'empty images': ['empty', 'few', 'empty', 'one'],
    'all empty': ['empty', 'empty'],
    'ties': ['ties', 'few', 'ties'],
    'crowded': ['crowded', 'one', 'few', 'crowded'],
    'out of reach': ['far', 'few'],
}


def head_of(kind, assigner, border=-1):
    changes = {'norm_cfg': {'type': 'GN', 'num_groups': 2}} if kind == 'RankingATSSHead' else {}
    return tiny_head(kind, ASSIGNERS[assigner], border, **changes)


def both(head, truths, metas, ignored):
    """Targets by the head, and by MMDetection's code for one image after another."""
    shapes = [(SIDE // stride, SIDE // stride) for stride in STRIDES]
    found = head.get_targets(*head.get_anchors(shapes, metas, 'cpu'), truths, metas, ignored)
    parent = super(BatchTargetsMixin, head)
    expected = parent.get_targets(*head.get_anchors(shapes, metas, 'cpu'), truths, metas, ignored)
    return found, expected


def assert_equal(found, expected):
    assert int(found[-1]) == int(expected[-1])
    assert len(found) == len(expected)
    for ours, theirs in zip(found[:-1], expected[:-1], strict=True):
        for level, other in zip(ours, theirs, strict=True):
            assert level.dtype == other.dtype and torch.equal(level, other)


@pytest.fixture
def whole_batches(monkeypatch):
    """Fail where a head goes image by image."""
    by_batch = []
    own = BatchTargetsMixin._targets_of

    def noted(self, *args):
        by_batch.append(len(args[3]))
        return own(self, *args)

    monkeypatch.setattr(BatchTargetsMixin, '_targets_of', noted)
    return by_batch


@pytest.mark.parametrize('scene', list(SCENES))
@every_kind
@pytest.mark.parametrize('pairs', [None, 10**4, 2**24])
def test_equal_bit_by_bit(kind, assigner, scene, pairs, whole_batches, monkeypatch):
    if pairs:  # as on a GPU, all images at once or some of them
        monkeypatch.setattr(batch_assigner, 'HOSTS', ())
        monkeypatch.setattr(batch_assigner, 'MAX_PAIRS', pairs)
    head = head_of(kind, assigner)
    for seed in range(3):
        gen = torch.Generator().manual_seed(seed)
        truths = [boxes_of_scene(image, gen) for image in SCENES[scene]]
        metas = [{'img_shape': (SIDE, SIDE), 'pad_shape': (SIDE, SIDE)} for _ in truths]
        ignored = [boxes_of_scene('few', gen) for _ in truths]
        assert_equal(*both(head, truths, metas, ignored))
    assert whole_batches == [len(truths)] * 3


@pytest.mark.parametrize('border', [-1, 0, 20])
@every_kind
def test_padded_images_and_anchors_outside(kind, assigner, border, whole_batches, monkeypatch):
    """Images of several sizes, out of order: those that are alike go together."""
    monkeypatch.setattr(batch_assigner, 'HOSTS', ())
    head = head_of(kind, assigner, border)
    sizes = [(64, 64), (40, 64), (64, 64), (64, 40), (40, 64)]
    for seed in range(4):
        gen = torch.Generator().manual_seed(seed)
        truths = [boxes_of_scene('few', gen) for _ in sizes]
        metas = [{'img_shape': size, 'pad_shape': size} for size in sizes]
        assert_equal(*both(head, truths, metas, None))
    assert whole_batches == [2, 2, 1] * 4


@pytest.mark.parametrize('border', [-1, 0])
@pytest.mark.parametrize('assigner', ['MaxIoU', 'ATSS'])
def test_images_of_several_sizes_wait_once(assigner, border, monkeypatch):
    pytest.importorskip('triton')
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2] / 'ranking')
    from launch_counts import LaunchCounter

    monkeypatch.setattr(batch_assigner, 'HOSTS', ())
    head = head_of('RankingRetinaHead', assigner, border)
    sizes = [(64, 64), (40, 64), (64, 40)]
    gen = torch.Generator().manual_seed(0)
    truths = [boxes_of_scene('few', gen) for _ in sizes]
    metas = [{'img_shape': size, 'pad_shape': size} for size in sizes]
    shapes = [(SIDE // stride, SIDE // stride) for stride in STRIDES]
    anchors, flags = head.get_anchors(shapes, metas, 'cpu')
    with LaunchCounter() as counter:
        head.get_targets(anchors, flags, truths, metas)
    assert counter.waits == 0  # beside the one tolist, which is none on a CPU


@pytest.mark.parametrize('weight', [-1, 0.3])
@pytest.mark.parametrize('assigner', ['MaxIoU', 'ATSS'])
def test_deltas_and_weights_of_positives(assigner, weight, whole_batches):
    changes = {'reg_decoded_bbox': False, 'loss_bbox': {'type': 'SmoothL1Loss'}}
    changes['loss_cls'] = {'type': 'APLoss', 'use_sigmoid': True}
    head = tiny_head('RankingRetinaHead', ASSIGNERS[assigner], **changes)
    head.train_cfg['pos_weight'] = weight
    gen = torch.Generator().manual_seed(0)
    truths = [boxes_of_scene(kind, gen) for kind in ('few', 'empty', 'crowded')]
    metas = [{'img_shape': (SIDE, SIDE), 'pad_shape': (SIDE, SIDE)} for _ in truths]
    found, expected = both(head, truths, metas, None)
    assert_equal(found, expected)
    assert whole_batches and sum(level.abs().sum() for level in found[2]) > 0


def derived(assigner):
    class Derived(type(assigner)):
        pass

    assigner.__class__ = Derived


def no_overlaps(assigner):
    assigner.iou_calculator.dtype = 'fp16'


@pytest.mark.parametrize('change', [derived, no_overlaps])
def test_other_assigners_go_image_by_image(change, whole_batches):
    head = tiny_head('RankingRetinaHead', PUBLISHED)
    assert batch_assigner.batch_assignment(head.assigner) is not None
    change(head.assigner)
    assert batch_assigner.batch_assignment(head.assigner) is None
    gen = torch.Generator().manual_seed(0)
    truths = [boxes_of_scene('few', gen)]
    metas = [{'img_shape': (SIDE, SIDE), 'pad_shape': (SIDE, SIDE)}]
    if change is derived:
        assert_equal(*both(head, truths, metas, None))
    assert not whole_batches


@pytest.mark.parametrize('assigner', [MAX_IOU, ATSS], ids=['MaxIoU', 'ATSS'])
def test_ignored_boxes_that_count_go_image_by_image(assigner, whole_batches):
    head = tiny_head('RankingRetinaHead', assigner)
    gen = torch.Generator().manual_seed(0)
    truths = [boxes_of_scene('few', gen) for _ in range(2)]
    metas = [{'img_shape': (SIDE, SIDE), 'pad_shape': (SIDE, SIDE)} for _ in truths]
    none = [boxes_of_scene('empty', gen) for _ in truths]
    assert_equal(*both(head, truths, metas, none))
    assert whole_batches == [2]
    ignored = [boxes_of_scene('few', gen) for _ in truths]
    assert_equal(*both(head, truths, metas, ignored))
    assert whole_batches == [2]


def test_no_anchor_inside_is_said_in_one_line():
    head = tiny_head('RankingRetinaHead', PUBLISHED, border=0)
    truths = [boxes_of_scene('few', torch.Generator().manual_seed(0))]
    with pytest.raises(ValueError, match='no valid anchor inside'):
        both(head, truths, [{'img_shape': (2, 2), 'pad_shape': (64, 64)}], None)
