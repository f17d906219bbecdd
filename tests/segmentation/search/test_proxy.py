import pickle
import re
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DATASETS, MODELS, DefaultScope

from mmdet_alrp.guards.checkpoint_safety import load_safely
from mmdet_alrp.guards.finite_loss_hook import NotFiniteError
from mmdet_alrp.segmentation.search.proxy import prepare_proxy, run_proxy

sys.path.append(str(Path(__file__).parent))
from tiny_proxy import BENT, ROOT, task_of, tiny_config

CONFIGS = sorted(path.stem for path in (ROOT / 'configs/segmentation/search').glob('*.py'))


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_same_task_gives_the_same_reward_and_other_ones_another(proxy_shapes, tmp_path):
    cfg = tiny_config(proxy_shapes, **{'train_cfg.max_iters': 4})
    tasks = [
        task_of(cfg, tmp_path / name, **options)
        for name, options in [('a', {}), ('b', {}), ('c', {'theta': BENT}), ('d', {'seed': 6})]
    ]
    first, again, bent, reseeded = map(run_proxy, tasks)
    assert (first.reward, first.metrics) == (again.reward, again.metrics)
    assert 0 < first.reward < 1 and first.reward == first.metrics['mIoU']
    assert bent.metrics != first.metrics != reseeded.metrics
    assert first.seconds > 0 and first.failure == ''
    assert not list(tmp_path.rglob('*.pth'))
    assert pickle.loads(pickle.dumps(tasks[0])) == tasks[0]


def test_reward_of_several_metrics_is_their_weighted_mean(proxy_shapes, tmp_path):
    cfg = tiny_config(proxy_shapes)
    cfg.search.target_metric = {'mIoU': 3.0, 'BIoU': 1.0}
    result = run_proxy(task_of(cfg, tmp_path, {**BENT, 'BIoU': BENT['mIoU']}))
    expected = (3 * result.metrics['mIoU'] + result.metrics['BIoU']) / 4
    assert result.reward == pytest.approx(expected)


def test_loss_that_is_not_finite_raises(proxy_shapes, tmp_path):
    cfg = tiny_config(proxy_shapes)
    cfg.model.decode_head.loss_decode.loss_weight = 1e39  # infinite in float32
    with pytest.raises(NotFiniteError, match='loss_auto_seg'):
        run_proxy(task_of(cfg, tmp_path))


def test_prepared_config_trains_on_one_part_and_is_judged_on_the_other(proxy_shapes):
    cfg = tiny_config(proxy_shapes)
    cfg.model.decode_head.loss_decode.update(
        tolerance=3, drop_background=True, ignore_index=7, theta='voc_miou'
    )
    cfg.search.target_metric = {'mIoU': 1.0, 'BF1': 1.0}
    before = cfg.to_dict()
    prepared = prepare_proxy(cfg)
    assert cfg.to_dict() == before
    parts = [prepared.train_dataloader.dataset, prepared.val_dataloader.dataset]
    assert [part.part for part in parts] == ['train', 'holdout']
    assert parts[0].dataset.data_prefix == parts[1].dataset.data_prefix
    assert parts[1].dataset.pipeline == cfg.val_dataloader.dataset.pipeline
    region, boundary = prepared.val_evaluator
    assert region.type.endswith('RegionMetric')
    assert (boundary.tolerance, boundary.drop_background) == (3, True)
    assert (region.ignore_index, boundary.ignore_index) == (7, 7)
    assert prepared.default_hooks.checkpoint is None
    assert prepare_proxy(prepared).to_dict() == prepared.to_dict()


def test_judges_have_the_settings_of_the_loss_where_they_name_none_of_their_own(proxy_shapes):
    cfg = tiny_config(proxy_shapes)
    cfg.search.target_metric = 'BF1'
    cfg.model.decode_head.loss_decode.update(tolerance=3, count_ignored_edges=False)
    for given, expected in (
        ({'type': 'BoundaryMetric', 'prefix': 'edge'}, {'tolerance': 3}),
        ([{'type': 'RegionMetric'}, {'type': 'mmseg.BoundaryMetric', 'tolerance': 2}], {}),
        (None, {'tolerance': 3}),
    ):
        cfg.val_evaluator = given
        (judge,) = prepare_proxy(cfg).val_evaluator
        expected = {'tolerance': 2, 'count_ignored_edges': False, **expected}
        assert judge == {'type': 'mmengine.BoundaryMetric', **expected}


def test_on_voc_the_search_for_bf1_is_that_of_the_released_code():
    cfg = prepare_proxy(Config.fromfile(ROOT / 'configs/segmentation/search/bf1_voc.py'))
    (judge,) = cfg.val_evaluator
    assert judge.drop_background and 'count_ignored_edges' not in judge
    for head in (cfg.model.decode_head, cfg.model.auxiliary_head):
        assert not head.loss_decode.drop_background
    assert cfg.search.space.segments == 1


@pytest.fixture
def striped_image(tmp_path):
    """An image of the size of VOC's, bright to the right of column 300 as its mask says."""
    mask = np.zeros((375, 500), dtype=np.uint8)
    mask[:, 300:] = 1
    cv2.imwrite(str(tmp_path / 'image.png'), np.stack([mask * 200] * 3, -1))
    cv2.imwrite(str(tmp_path / 'mask.png'), mask)
    paths = {'img_path': str(tmp_path / 'image.png'), 'seg_map_path': str(tmp_path / 'mask.png')}
    return {**paths, 'label_map': None, 'reduce_zero_label': False, 'seg_fields': []}


@pytest.mark.parametrize('name', ['voc', 'cityscapes'])
def test_big_proxies_are_judged_in_the_middle_at_the_size_that_the_net_sees(name, striped_image):
    import mmseg.datasets  # noqa: F401 - registers the transforms

    cfg = Config.fromfile(ROOT / f'configs/segmentation/search/miou_{name}.py')
    pipeline = prepare_proxy(cfg).val_dataloader.dataset.dataset
    pipeline = pipeline.get('datasets', [pipeline])[0].pipeline
    with DefaultScope.overwrite_default_scope('mmseg'):
        packed = Compose(pipeline)(dict(striped_image))
        original = Compose(cfg.original_size_pipeline)(dict(striped_image))
    image, mask = packed['inputs'][0], packed['data_samples'].gt_sem_seg.data[0]
    assert image.shape == mask.shape == packed['data_samples'].ori_shape == (128, 128)
    # Column 300 of 500 is 50 right of the middle, and 50 * 128 / 375 = 17 of these.
    assert mask.any(0).nonzero()[0].item() == pytest.approx(64 + 17, abs=1)
    assert ((image > 100).int() - mask).count_nonzero(1).max() <= 1
    assert original['inputs'].shape[1:] == (128, 171)
    assert original['data_samples'].gt_sem_seg.data.shape == (1, 375, 500)
    assert original['data_samples'].ori_shape == (375, 500)


def test_prediction_judged_at_the_size_of_the_input_is_no_larger(proxy_shapes, tmp_path):
    cfg = tiny_config(proxy_shapes)
    load, annotate, pack = cfg.val_dataloader.dataset.pipeline
    crop = [{'type': 'CenterCrop', 'crop_size': (16, 16)}, {'type': 'JudgeAtInputSize'}]
    resize = {'type': 'Resize', 'scale': (24, 24), 'keep_ratio': True}
    cfg.val_dataloader.dataset.pipeline = [load, annotate, resize, *crop, pack]
    assert 0 < run_proxy(task_of(cfg, tmp_path)).reward < 1
    with DefaultScope.overwrite_default_scope('mmseg'):
        prepared = prepare_proxy(cfg)
        sample = DATASETS.build(prepared.val_dataloader.dataset)[0]
        model = MODELS.build(prepared.model).eval()
        with torch.no_grad():
            (judged,) = model.test_step(pseudo_collate([sample]))
    assert judged.pred_sem_seg.data.shape == judged.gt_sem_seg.data.shape == (1, 16, 16)


def test_configs_without_search_or_loss_are_refused(proxy_shapes):
    cfg = tiny_config(proxy_shapes)
    cfg.model.decode_head.loss_decode = {'type': 'CrossEntropyLoss'}
    with pytest.raises(ValueError, match='no AutoSegLoss'):
        prepare_proxy(cfg)
    cfg.pop('search')
    with pytest.raises(ValueError, match='no search'):
        prepare_proxy(cfg)


def test_samples_go_on_from_the_start_that_cross_entropy_trained(proxy_shapes, tmp_path):
    cfg = tiny_config(proxy_shapes, **{'search.start': {'max_iters': 3}, 'train_cfg.max_iters': 1})
    cfg.default_hooks.logger.interval = 1
    file = tmp_path / 'start.pth'
    trained = replace(task_of(cfg, tmp_path, theta=None), start=str(file))
    start = run_proxy(trained)
    text = next(Path(trained.folder).glob('*/*.log')).read_text()
    steps = re.findall(r'Iter\(train\) \[(\d)/3\].*decode\.loss_ce: \d', text)
    assert steps == ['1', '2', '3'] and 'decode.loss_auto_seg' not in text
    weights = load_safely(file)['state_dict']

    # A sample that does not learn is the start; one from random weights is not.
    cfg.optim_wrapper.optimizer.update(lr=0.0, weight_decay=0.0)
    for part in (cfg.model.backbone, cfg.model.neck, cfg.model.decode_head):
        part.norm_cfg = {'type': 'BN', 'momentum': 0.0}
    sample = replace(task_of(cfg, tmp_path, BENT, index=1), start=str(file))
    assert run_proxy(sample).metrics == start.metrics
    assert run_proxy(replace(sample, start='')).metrics != start.metrics
    assert all(value.isfinite().all() for value in weights.values())
    assert sorted(path.name for path in tmp_path.glob('*.pth')) == ['start.pth']


@pytest.mark.parametrize('name', CONFIGS)
def test_configs_are_proxies_of_what_their_name_says(name):
    cfg = Config.fromfile(ROOT / f'configs/segmentation/search/{name}.py')
    target = cfg.search.target_metric
    metrics = [target] if isinstance(target, str) else list(target)
    assert '_'.join(metrics).lower() == name.rpartition('_')[0]
    losses = prepare_proxy(cfg).model.decode_head.loss_decode
    assert losses.type == 'AutoSegLoss' and losses.target_metric == target
    paper = name.endswith(('voc', 'cityscapes'))
    assert cfg.train_cfg.max_iters == (1000 if paper else 100 if 'camvid' in name else 150)
    assert cfg.train_cfg.max_iters == cfg.param_scheduler[-1].end
