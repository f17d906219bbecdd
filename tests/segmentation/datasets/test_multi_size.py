"""Soft masks reach the loss as they are, and batches have one size of several."""

import random

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import FUNCTIONS, TRANSFORMS, init_default_scope
from mmengine.structures import PixelData

from mmdet_alrp.segmentation.datasets import LoadSaliencyMask, multi_size_collate

SIZES = (16, 24, 40)


@pytest.fixture
def mask_path(tmp_path):
    grey = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / 'mask.png'), grey)
    return str(tmp_path / 'mask.png'), grey


def test_soft_masks_keep_their_grey_levels(mask_path):
    path, grey = mask_path
    loaded = LoadSaliencyMask(soft=True).transform({'seg_map_path': path})['gt_seg_map']
    assert loaded.dtype == np.float32
    np.testing.assert_allclose(loaded, grey / 255, rtol=1e-6)


def test_packing_keeps_soft_masks_and_labels(mask_path):
    pytest.importorskip('mmseg')
    init_default_scope('mmseg')
    path, _ = mask_path
    pack = TRANSFORMS.build({'type': 'PackSaliencyInputs', 'meta_keys': ('img_path',)})
    for soft in (True, False):
        results = LoadSaliencyMask(soft=soft).transform({'seg_map_path': path})
        image = np.zeros((20, 30, 3), np.uint8)
        mask = results['gt_seg_map'][:, ::-1]  # as a flip leaves it
        packed = pack({**results, 'img': image, 'gt_seg_map': mask, 'img_path': 'a.jpg'})
        found = packed['data_samples'].gt_sem_seg.data
        assert found.shape == (1, 20, 30)
        np.testing.assert_array_equal(found[0].numpy(), mask)
        assert packed['inputs'].shape == (3, 20, 30)
        assert packed['data_samples'].img_path == 'a.jpg'


def batch_of(dtype):
    from mmseg.structures import SegDataSample

    generator = torch.Generator().manual_seed(0)
    batch = []
    for height, width in ((20, 30), (33, 12)):
        mask = torch.rand(1, height, width, generator=generator)
        mask = mask if dtype.is_floating_point else (mask * 3).to(dtype)
        image = torch.randint(256, (3, height, width), generator=generator, dtype=torch.uint8)
        sample = SegDataSample(gt_sem_seg=PixelData(data=mask), metainfo={'img_path': str(width)})
        batch.append({'inputs': image, 'data_samples': sample})
    return batch


def resized(image, side, how):
    return cv2.resize(image.numpy(), (side, side), interpolation=how)


def test_images_and_soft_masks_are_interpolated_as_by_opencv():
    pytest.importorskip('mmseg')
    batch = batch_of(torch.float32)
    side = 40
    found = FUNCTIONS.get('multi_size_collate')(batch, sizes=[side])
    for sample, image, truth in zip(batch, found['inputs'], found['data_samples'], strict=True):
        expected = resized(sample['inputs'].permute(1, 2, 0).float(), side, cv2.INTER_LINEAR)
        np.testing.assert_allclose(image.permute(1, 2, 0), expected, atol=1e-3)
        mask = sample['data_samples'].gt_sem_seg.data[0]
        expected = resized(mask, side, cv2.INTER_LINEAR)
        np.testing.assert_allclose(truth.gt_sem_seg.data[0], expected, atol=1e-5)
        assert truth.img_shape == (side, side)
        assert truth.img_path == sample['data_samples'].img_path
    # What a data set may keep stays as it was.
    assert batch[0]['inputs'].shape == (3, 20, 30)
    assert batch[0]['data_samples'].gt_sem_seg.data.shape == (1, 20, 30)


def test_labels_stay_labels():
    pytest.importorskip('mmseg')
    found = multi_size_collate(batch_of(torch.int64), [16])
    labels = found['data_samples'][0].gt_sem_seg.data
    assert labels.dtype == torch.int64 and labels.shape == (1, 16, 16)
    assert set(labels.unique().tolist()) == {0, 1, 2}


def test_sizes_are_drawn_alike():
    pytest.importorskip('mmseg')
    random.seed(0)
    batch = batch_of(torch.float32)
    sides = [multi_size_collate(batch, SIZES)['inputs'][1].shape[-1] for _ in range(300)]
    assert set(sides) == set(SIZES)
    assert all(70 < sides.count(side) < 130 for side in SIZES)
