import re

import pytest
import torch
from faulty_runs import Diary, build_runner, scene, scenes
from tiny_detectors import DETECTORS, HEADS, RANKING_HEADS, detector

from mmdet_alrp.guards.errors import BrokenBatchError, NotFiniteError

GOOD = [8, 8, 40, 40]
EMPTY_BOXES = {
    'no width': [20, 10, 20, 30],
    'no height': [10, 20, 30, 20],
    'a point': [20, 20, 20, 20],
}
OUTSIDE_BOXES = {'right of it': [70, 10, 90, 30], 'above it': [10, -30, 30, -5]}
ODD_BOXES = {**EMPTY_BOXES, **OUTSIDE_BOXES}
CHECKS = [{'type': 'BatchCheckHook'}, {'type': 'FiniteLossHook'}]


def train(folder, data, name='RankingRetinaHead', hooks=CHECKS, **changes):
    """Train on scenes; every step must be finite and every parameter must get a gradient."""
    diary = Diary()
    runner = build_runner(folder, detector(name), data, [*hooks, diary], **changes)
    runner.train()
    assert diary.is_finite()
    assert not diary.same(0, -1)
    return diary


def warnings_of(work_dir):
    lines = [line for log in work_dir.glob('*/*.log') for line in log.read_text().splitlines()]
    return [line for line in lines if 'left out' in line]


@pytest.mark.parametrize('box', ODD_BOXES.values(), ids=ODD_BOXES)
@pytest.mark.parametrize('name', ['RetinaHead', 'RankingShared2FCBBoxHead'])
def test_box_without_content_is_left_out_with_one_warning(tmp_path, name, box):
    odd = train(tmp_path / 'odd', [scene([GOOD, box], [0, 1], seed=seed) for seed in (0, 1)], name)
    plain = train(tmp_path / 'plain', [scene([GOOD], [0], seed=seed) for seed in (0, 1)], name)
    torch.testing.assert_close(odd.pages[-1], plain.pages[-1], rtol=0, atol=0)
    first, last = warnings_of(tmp_path / 'odd')
    kind = 'has no area' if box in EMPTY_BOXES.values() else 'lies outside the image'
    assert f'scene.png (img_id 0): box 2 of 2 {kind}' in first
    assert 'left out 2 boxes' in last
    assert not warnings_of(tmp_path / 'plain')


@pytest.mark.parametrize('box', ODD_BOXES.values(), ids=ODD_BOXES)
@pytest.mark.parametrize('name', sorted({*DETECTORS} & {*RANKING_HEADS}))
def test_box_without_content_keeps_ranking_losses_finite_without_the_check(tmp_path, name, box):
    data = [scene([GOOD, box], [0, 1], seed=seed) for seed in (0, 1)]
    train(tmp_path, data, name, hooks=[{'type': 'FiniteLossHook'}])


def test_encoded_box_without_width_is_never_silent(tmp_path):
    data = [scene([GOOD, EMPTY_BOXES['no width']], [0, 1])]  # its width is encoded as log 0
    with pytest.raises(
        NotFiniteError, match=r'bbox_head \(RetinaHead\): loss_bbox = inf \(images scene\.png'
    ):
        train(tmp_path, data, 'RetinaHead', hooks=[{'type': 'FiniteLossHook'}])


@pytest.mark.parametrize('name', DETECTORS)
def test_box_partly_outside_is_trained_as_it_is(tmp_path, name):
    box = [40, 40, 90, 100]
    diary = train(tmp_path, [scene([box], [1], seed=seed) for seed in (0, 1)], name)
    without = train(tmp_path / 'none', [scene([], [], seed=seed) for seed in (0, 1)], name)
    assert diary.losses[0]['loss_cls'] != without.losses[0]['loss_cls']
    assert not warnings_of(tmp_path)


@pytest.mark.parametrize('label', [-1, 5, 79])
@pytest.mark.parametrize('name', DETECTORS)
def test_class_out_of_range_names_image_object_and_range(tmp_path, name, label):
    data = [scene(), scene([GOOD, GOOD], [0, label], seed=7, name='wrong.png')]
    with pytest.raises(BrokenBatchError) as caught:
        train(tmp_path, data, name)
    expected = (
        f'wrong.png (img_id 7): object 2 of 2 has class index {label}, '
        f'but {HEADS[name].path} ({name}) has num_classes=5, indices 0 to 4'
    )
    assert expected in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize('value', [float('nan'), float('inf')], ids=str)
def test_coordinate_that_is_no_number(tmp_path, value):
    data = [scene([GOOD, [10, 10, value, 30]], [0, 1], name='nan.png')]
    expected = re.escape('nan.png (img_id 0): box 2 of 2 is [10.0, 10.0, ')
    with pytest.raises(BrokenBatchError, match=expected):
        train(tmp_path, data)


@pytest.mark.parametrize('name', DETECTORS)
def test_ten_thousand_boxes_in_one_image(tmp_path, name):
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(10_000, 2, generator=generator) * 96
    sides = 4 + torch.rand(10_000, 2, generator=generator) * 28
    boxes = torch.cat([corners, corners + sides], 1)
    labels = torch.randint(0, 5, (10_000,), generator=generator)
    crowded = scene(boxes, labels, side=128)
    diary = train(tmp_path, [crowded, scene(side=128, seed=1)], name)
    assert all(value > 0 for value in diary.losses[0].values())


@pytest.mark.parametrize('name', DETECTORS)
def test_batch_of_one(tmp_path, name):
    diary = train(tmp_path, scenes(3), name, batch_size=1)
    assert len(diary.losses) == 3


@pytest.mark.parametrize('name', DETECTORS)
def test_batch_of_one_image_without_boxes(tmp_path, name):
    data = [scene([], [], seed=seed) for seed in range(2)]
    diary = train(tmp_path, [*data, scene()], name, batch_size=1)
    assert [losses['loss_bbox'] for losses in diary.losses[:2]] == [0, 0]
    assert diary.losses[2]['loss_bbox'] > 0
