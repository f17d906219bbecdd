"""NMS and its relatives against plain loops; here the order of equal scores counts too."""

import numpy as np
import pytest
import torch
from mmcv.ops import nms, nms_match, soft_nms
from operator_cases import boxes, scores


def overlap(one, other, offset=0):
    width = min(one[2], other[2]) - max(one[0], other[0]) + offset
    height = min(one[3], other[3]) - max(one[1], other[1]) + offset
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0] + offset) * (box[3] - box[1] + offset) for box in (one, other)]
    return shared / (sum(areas) - shared)


def by_score(values):
    return sorted(range(len(values)), key=lambda index: -values[index])  # sorts stably


def suppress(rows, values, threshold, offset):
    kept = []
    for index in by_score(values):
        if all(overlap(rows[other], rows[index], offset) <= threshold for other in kept):
            kept.append(index)
    return kept


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('levels', [0, 5])
@pytest.mark.parametrize('count', [0, 1, 2, 90])
def test_nms_keeps_what_plain_loops_keep(device, count, levels, offset):
    rows, values = boxes(51, count).to(device), scores(53, count, levels).to(device)
    dets, index = nms(rows, values, 0.45, offset=offset)
    assert index.tolist() == suppress(rows.double().tolist(), values.tolist(), 0.45, offset)
    torch.testing.assert_close(dets, torch.cat((rows, values[:, None]), dim=1)[index])


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_nms_takes_every_floating_type(device, dtype):
    rows = (boxes(55, 60) * 4).round().to(device, dtype)
    values = scores(57, 60, 20).to(device, dtype)
    _, index = nms(rows, values, 0.5)
    assert index.tolist() == suppress(rows.double().tolist(), values.tolist(), 0.5, 0)


def test_nms_leaves_the_boxes_as_they_are():
    rows, values = boxes(59, 9), scores(61, 9)
    before = rows.clone()
    nms(rows, values, 0.5, offset=1)
    assert torch.equal(rows, before)


@pytest.mark.parametrize('levels', [0, 3])
def test_match_groups_what_a_kept_box_suppresses(levels):
    rows, values = boxes(63, 70), scores(65, 70, levels)
    groups = nms_match(torch.cat((rows, values[:, None]), dim=1), 0.4)
    left, expected = by_score(values.tolist()), []
    corners = rows.double().tolist()
    while left:
        first, *others = left
        group = [index for index in others if overlap(corners[first], corners[index]) >= 0.4]
        expected.append([first, *group])
        left = [index for index in others if index not in group]
    assert [group.tolist() for group in groups] == expected


@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
def test_softened_scores_follow_their_formula(method):
    """Each box is lowered once by every box that was taken before it."""
    rows, values = boxes(67, 40), scores(69, 40)
    dets, index = soft_nms(rows, values, 0.3, sigma=0.4, min_score=0.0, method=method)
    corners = rows.double().numpy()
    lower = {
        'naive': lambda iou: float(iou < 0.3),
        'linear': lambda iou: 1 - iou if iou >= 0.3 else 1.0,
        'gaussian': lambda iou: np.exp(-(iou**2) / 0.4),
    }[method]
    for place, taken in enumerate(index.tolist()):
        factors = [lower(overlap(corners[one], corners[taken])) for one in index.tolist()[:place]]
        expected = float(values[taken]) * np.prod(factors)
        assert float(dets[place, 4]) == pytest.approx(expected, rel=1e-5, abs=1e-7)
    assert sorted(index.tolist()) == list(range(40))
    assert (dets[:-1, 4] >= dets[1:, 4]).all()
