import math

import numpy as np
import pytest
from mmdet.evaluation.functional.recall import _recalls
from pycocotools import mask as mask_api

from mmdet_alrp.evaluation.proposal_recall import average_recall

THRS = np.linspace(0.5, 0.95, 10)


def test_golden():
    gt = [np.array([[0, 0, 10, 10], [100, 0, 10, 10]]), np.zeros((0, 4)), np.array([[0, 0, 4, 4]])]
    found = [
        np.array([[0, 0, 10, 8], [100, 0, 10, 10]]),
        np.array([[5, 5, 5, 5]]),
        np.zeros((0, 4)),
    ]
    # IoU .8, 1 and no proposal at all for three boxes
    assert average_recall(gt, found, [1, 5], np.array([0.5, 0.9])) == pytest.approx([1 / 6, 1 / 2])


def test_two_boxes_do_not_share_a_proposal():
    gt = [np.array([[0, 0, 10, 10], [0, 0, 10, 9]])]
    assert average_recall(gt, [np.array([[0, 0, 10, 10]])], [10], np.array([0.5])) == [0.5]


def test_nothing_to_find():
    assert math.isnan(average_recall([np.zeros((0, 4))], [np.zeros((3, 4))], [10], THRS)[0])


@pytest.mark.parametrize('seed', range(3))
def test_agrees_with_mmdetection_where_that_still_runs(seed):
    rng = np.random.default_rng(seed)
    gt, found, nums = [], [], np.array([2, 20])
    tables = np.empty(5, dtype=object)  # what mmdet would build with an old NumPy
    for index in range(5):
        corner, size = rng.uniform(0, 50, (6, 2)), rng.uniform(20, 50, (6, 2))
        gt.append(np.hstack([corner, size])[: index + 1])
        noise = rng.normal(1, 0.15, (12, 4))
        found.append(np.tile(np.hstack([corner, size]), (2, 1)) * noise)
        tables[index] = mask_api.iou(found[-1], gt[-1], [0] * len(gt[-1])).T
    expected = _recalls(tables, nums, THRS).mean(axis=1)
    assert average_recall(gt, found, nums, THRS) == pytest.approx(expected)
