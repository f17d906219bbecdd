"""One-stage and two-stage detectors learn from, and are judged on, real images: blood cells."""

import json
import math

import pytest
import torch
from mmengine.config import Config
from tiny_runs import REPO, load_tool, run_here

from mmdet_alrp.guards.checkpoint_safety import load_safely

CONFIGS = REPO / 'configs'
BLOOD_CELLS = Config.fromfile(CONFIGS / 'alrp_retinanet_r18_bccd.py')
DATA_KEYS = ('train_dataloader', 'val_dataloader', 'test_dataloader', 'val_evaluator')
NAMES = ['alrp_retinanet_r18_bccd', 'alrp_faster_rcnn_r18_shapes']
STEPS = 3


def config_for_cells(name, folder, data):
    """A config of this package with the blood cells in place of its own data."""
    cfg = Config.fromfile(CONFIGS / f'{name}.py')
    for key in DATA_KEYS:
        cfg[key] = BLOOD_CELLS[key]
    head = cfg.model.bbox_head if 'bbox_head' in cfg.model else cfg.model.roi_head.bbox_head
    cfg.model.backbone.base_channels = 16
    cfg.model.neck.in_channels = [16, 32, 64, 128]
    if 'rpn_proposal' in cfg.model.train_cfg:
        cfg.model.train_cfg.rpn_proposal.max_per_img = 200  # each is a box to classify
    head.num_classes = len(BLOOD_CELLS.metainfo.classes)
    for split, images in (('train', 4 * STEPS), ('val', 4)):
        loader = cfg[f'{split}_dataloader']
        loader.update(batch_size=4, num_workers=0, persistent_workers=False)
        loader.dataset.update(data_root=f'{data}/', indices=images)
    cfg.test_dataloader = cfg.val_dataloader
    cfg.val_evaluator.ann_file = str(data / 'val.json')
    cfg.test_evaluator = cfg.val_evaluator
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.default_hooks.logger.interval = 1
    cfg.log_processor.window_size = 1
    cfg.visualizer.name = f'cells_{name}'  # MMEngine keeps those of earlier runs
    path = folder / f'{name}.py'
    cfg.dump(path)
    return path


@pytest.mark.parametrize('name', NAMES)
def test_trains_and_is_judged_on_blood_cells(name, shared_data, tmp_path):
    torch.manual_seed(0)
    config = config_for_cells(name, tmp_path, shared_data / 'bccd')
    load_tool('train').main([str(config), '--work-dir', str(tmp_path / 'run')])
    (log,) = tmp_path.glob('run/*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    steps = [line for line in lines if 'loss' in line]
    assert len(steps) == STEPS
    for step in steps:
        assert all(math.isfinite(value) for value in step.values())
        assert 0 < step['loss_cls'] <= 2  # of ranking, and for Rank & Sort of sorting
        assert step['loc_error'] > 0  # there are positives in every batch
    (judged,) = (line for line in lines if 'coco/bbox_mAP' in line)
    assert 0 < judged['coco/bbox_oLRP'] <= 1


@pytest.mark.parametrize(
    ('name', 'data'),
    [
        ('alrp_retinanet_mnv2_aquarium', 'aquarium'),
        ('rs_retinanet_mnv2_deeppcb', 'deeppcb'),
        ('focal_retinanet_mnv2_bccd', 'bccd'),
    ],
)
def test_trains_from_given_weights_on_a_given_folder(name, data, shared_data, tmp_path):
    weights = shared_data.parent / 'weights' / 'mobilenet_v2_imagenet.pth'
    options = ['train_cfg.max_iters=2', 'train_cfg.val_interval=2', 'train_dataloader.batch_size=2']
    options += [f'{split}_dataloader.num_workers=0' for split in ('train', 'val')]
    options += [f'{split}_dataloader.persistent_workers=False' for split in ('train', 'val')]
    options += ['val_dataloader.dataset.indices=4', 'default_hooks.logger.interval=1']
    # the evaluator would miss the images that are left out
    options += [f'val_evaluator.ann_file={first_images(shared_data / data, 4, tmp_path)}']
    words = [CONFIGS / f'{name}.py', '--work-dir', tmp_path / 'run']
    words += ['--data-root', shared_data / data, '--backbone-weights', weights]
    result = run_here('train.py', *words, '--cfg-options', *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    (log,) = tmp_path.glob('run/*/vis_data/scalars.json')
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    losses = [line['loss'] for line in lines if 'loss' in line]
    assert len(losses) == 2
    assert all(math.isfinite(loss) for loss in losses)
    assert 0 < lines[-1]['coco/bbox_oLRP'] <= 1
    (checkpoint,) = tmp_path.glob('run/*.pth')
    trained = load_safely(checkpoint)['state_dict']
    given = torch.load(weights, weights_only=True)
    given = given.get('state_dict', given)
    same = {key for key in given if torch.equal(trained[f'backbone.{key}'], given[key])}
    assert 'layer3.2.linear_conv.conv.weight' in same  # frozen
    assert 'layer4.0.linear_conv.conv.weight' not in same  # trained


def first_images(folder, number, tmp_path):
    """Annotations of the first validation images alone."""
    truth = json.loads((folder / 'val.json').read_text())
    truth['images'] = sorted(truth['images'], key=lambda image: image['id'])[:number]
    kept = {image['id'] for image in truth['images']}
    truth['annotations'] = [a for a in truth['annotations'] if a['image_id'] in kept]
    path = tmp_path / 'val.json'
    path.write_text(json.dumps(truth))
    return path
