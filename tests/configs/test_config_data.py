"""Data, batches and rates of the configs."""

import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from config_files import COCO, CONFIGS, NAMES, load, step_of
from mmcv.transforms import LoadImageFromFile
from mmengine.config import Config
from mmengine.fileio import LocalBackend
from mmengine.fileio.backends import backends
from mmengine.logging import MMLogger
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner

VARIABLE = 'backend_args = None\n'
KINDS = ['alrp_retinanet_r50_500', 'alrp_retinanet_atss_r101_800', 'alrp_mask_rcnn_r50_500']
SPLITS = ('train', 'val', 'test')


def load_with(tmp_path, name, backend_args):
    """A config after the one variable was set, in a copy of the folder of configs."""
    folder = tmp_path / 'configs'
    shutil.copytree(CONFIGS, folder, ignore=shutil.ignore_patterns('segmentation', 'ablation'))
    base = folder / '_base_' / 'coco_500.py'
    text = base.read_text()
    assert text.count(VARIABLE) == 1
    base.write_text(text.replace(VARIABLE, f'backend_args = {backend_args!r}\n'))
    return Config.fromfile(folder / f'{name}.py')


def image_loaders(value):
    """All settings of LoadImageFromFile anywhere inside a config."""
    if isinstance(value, dict):
        if value.get('type') == 'LoadImageFromFile':
            yield value
        value = list(value.values())
    if isinstance(value, (list, tuple)):
        for item in value:
            yield from image_loaders(item)


def readers_of_annotations(cfg):
    for split in SPLITS:
        yield cfg[f'{split}_dataloader'].dataset
        if split != 'train':
            yield cfg[f'{split}_evaluator']


@pytest.mark.parametrize('name', KINDS)
def test_one_variable_reaches_all_readers(tmp_path, name):
    args = {'backend': 'petrel', 'path_mapping': {'data/': 's3://bucket/'}}
    cfg = load_with(tmp_path, name, args)
    loaders = list(image_loaders(cfg.to_dict()))
    assert len(loaders) >= 4  # training, validation, test, test-time augmentation
    assert all(loader['backend_args'] == args for loader in loaders)
    assert all(reader.backend_args == args for reader in readers_of_annotations(cfg))


def test_lmdb_holds_images_only(tmp_path):
    args = {'backend': 'lmdb', 'db_path': 'data/coco.lmdb'}
    cfg = load_with(tmp_path, KINDS[0], args)
    assert all(loader['backend_args'] == args for loader in image_loaders(cfg.to_dict()))
    assert all(reader.backend_args is None for reader in readers_of_annotations(cfg))


def test_images_come_through_the_backend(tmp_path, monkeypatch):
    read = []

    class Listing(LocalBackend):
        def get(self, filepath):
            read.append(filepath)
            return super().get(filepath)

    monkeypatch.setitem(backends, 'listing', Listing)
    cfg = load_with(tmp_path, KINDS[0], {'backend': 'listing'})
    path = str(tmp_path / 'image.png')
    cv2.imwrite(path, np.full((4, 6, 3), 7, np.uint8))
    for split in SPLITS:
        first = dict(cfg[f'{split}_dataloader'].dataset.pipeline[0])
        assert first.pop('type') == 'LoadImageFromFile'
        assert LoadImageFromFile(**first)({'img_path': path})['img'].shape == (4, 6, 3)
    assert read == [path] * 3


@pytest.mark.parametrize('name', NAMES)
def test_no_two_loaders_disagree(name):
    cfg = load(name)
    test, val = cfg.test_dataloader.dataset, cfg.val_dataloader.dataset
    assert test.to_dict() == val.to_dict()
    data_root = cfg.train_dataloader.dataset.data_root
    assert {test.data_root, val.data_root} == {data_root}
    assert cfg.val_evaluator.ann_file == data_root + val.ann_file


@pytest.mark.parametrize('name', COCO)
def test_test_time_augmentation_takes_the_test_size_and_others_mirrored_or_not(name):
    cfg = load(name)
    assert cfg.tta_model.type == 'DetTTAModel'
    assert cfg.tta_model.tta_cfg == {
        'nms': {'type': 'nms', 'iou_threshold': 0.5},
        'max_per_img': 100,
    }
    resizes, flips, packing = cfg.tta_pipeline[1].transforms
    scales = [resize.scale for resize in resizes]
    assert len(set(scales)) == 3
    assert step_of(cfg.test_dataloader.dataset.pipeline, 'Resize').scale in scales
    assert all(resize.type == 'Resize' and resize.keep_ratio for resize in resizes)
    assert sorted(flip.prob for flip in flips) == [0, 1]
    assert {'flip', 'flip_direction', 'scale_factor'} <= set(packing[0].meta_keys)


def scaled_rate(cfg, processes):
    """Learning rate after MMEngine's scaling, for so many processes."""
    wrapper = build_optim_wrapper(torch.nn.Linear(1, 1), cfg.optim_wrapper)
    runner = SimpleNamespace(
        _train_dataloader=cfg.train_dataloader,
        world_size=processes,
        logger=MMLogger.get_current_instance(),
        param_schedulers=cfg.param_scheduler,
    )
    Runner.scale_lr(runner, wrapper, cfg.auto_scale_lr)
    return wrapper.param_groups[0]['lr']


@pytest.mark.parametrize('name', COCO)
def test_learning_rate_is_that_of_four_processes(name):
    cfg = load(name)
    published = cfg.optim_wrapper.optimizer.lr
    assert scaled_rate(cfg, 1) == published  # unless it is asked for
    cfg.auto_scale_lr.enable = True  # what --auto-scale-lr does
    for processes in (1, 4, 8):
        assert scaled_rate(cfg, processes) == pytest.approx(published * processes / 4)
    cfg.train_dataloader.batch_size //= 2
    assert scaled_rate(cfg, 4) == pytest.approx(published / 2)
