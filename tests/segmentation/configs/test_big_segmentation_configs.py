"""What the configs for VOC, Cityscapes, DUTS and MSRA-B promise."""

import warnings

import pytest
import torch
from mmengine.registry import init_default_scope
from mmengine.structures import PixelData
from mmseg.registry import DATASETS, HOOKS, METRICS, MODELS, TRANSFORMS
from mmseg.structures import SegDataSample
from segmentation_files import DATA, NAMES, build, heads, load, parts

METRIC_NAMES = {
    'miou': 'mIoU',
    'fwiou': 'FWIoU',
    'biou': 'BIoU',
    'bf1': 'BF1',
    'macc': 'mAcc',
    'gacc': 'gAcc',
}
LOSSES = {
    'ce': ['CrossEntropyLoss'],
    'dice': ['DiceLoss'],
    'lovasz': ['LovaszSoftmaxLoss'],
    'bce': ['CrossEntropyLoss'],
    'fmeasure': ['FMeasureLoss'],
    'structure': ['StructureLoss'],
    'lovasz_hinge': ['CrossEntropyLoss', 'LovaszHingeLoss'],
}
SEMANTIC = [name for name in NAMES if DATA[parts(name)[2]] > 1]
# F3Net has its own recipe: test_f3net_config.py
COMMON = [name for name in NAMES if '_f3net_' not in name]
BUILT = [
    'asl_miou_biou_deeplabv3plus_r50_cityscapes',
    'asl_miou_pspnet_r101_voc',
    'lovasz_hrnet_w48_cityscapes',
    'structure_f3net_r50_duts',
    'structure_fpn_r50_duts',
    'fmeasure_deeplabv3plus_r50_msra_b',
]


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.filterwarnings('ignore')
def test_losses_are_those_of_the_name(name):
    loss, net, _ = parts(name)
    model_heads = heads(load(name).model)
    assert len(model_heads) == (1 if net in ('hrnet_w48', 'fpn_r50', 'f3net_r50') else 2)
    for head, weight in zip(model_heads, (1.0, 0.4), strict=False):
        settings = head.loss_decode if isinstance(head.loss_decode, list) else [head.loss_decode]
        modules = [MODELS.build(part) for part in settings]
        for module in modules:
            assert module.loss_weight == weight
            assert module.loss_name.startswith('loss_')  # else it is logged and not trained with
        expected = LOSSES.get(loss, ['AutoSegLoss'])
        assert [type(module).__name__ for module in modules] == expected
        assert [part.type for part in settings] == expected
        if expected == ['AutoSegLoss']:
            wanted = [METRIC_NAMES[metric] for metric in loss.split('_')[1:]]
            assert targets_of(head.loss_decode) == wanted


def targets_of(loss):
    target = loss.target_metric
    return [target] if isinstance(target, str) else list(target)


@pytest.mark.parametrize('name', NAMES)
def test_data_model_and_judges_go_together(name):
    cfg, channels = load(name), DATA[parts(name)[2]]
    for head in heads(cfg.model):
        assert head.num_classes == max(channels, 2)
        assert head.get('out_channels', head.num_classes) == channels
        assert channels > 1 or head.threshold == 0.5
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        sets = loader.dataset.get('datasets', [loader.dataset])
        for dataset in sets:
            classes = DATASETS.get(dataset.type).METAINFO['classes']
            assert len(classes) == max(channels, 2)
            for step in dataset.pipeline:
                assert TRANSFORMS.get(step.type) is not None, step.type
    assert cfg.val_evaluator == cfg.test_evaluator
    judges = [type(METRICS.build(judge)).__name__ for judge in cfg.val_evaluator]
    assert judges == (['RegionMetric', 'BoundaryMetric'] if channels > 1 else ['SODMetric'])
    best = cfg.default_hooks.checkpoint.save_best
    assert best == ('mIoU' if channels > 1 else 'maxF')
    # MMEngine knows of mIoU that more is better, of maxF a config has to say it.
    assert HOOKS.build(cfg.default_hooks.checkpoint).rules == ['greater']


@pytest.mark.parametrize('name', [name for name in NAMES if 'biou' in name])
def test_biou_leaves_out_the_background_where_its_judge_does(name):
    cfg = load(name)
    (judge,) = (part for part in cfg.val_evaluator if part.type == 'BoundaryMetric')
    for head in heads(cfg.model):
        drop = head.loss_decode.get('drop_background', False)
        assert drop == judge.get('drop_background', False) == name.endswith('voc')


@pytest.mark.parametrize('name', [name for name in COMMON if not name.startswith(('ce', 'bce'))])
def test_twin_differs_only_in_the_losses(name):
    loss, net, data = parts(name)
    cfg, twin = load(name), load(f'{"ce" if name in SEMANTIC else "bce"}_{net}_{data}')
    for config in (cfg, twin):
        config.pop('loss')
        for head in heads(config.model):
            head.pop('loss_decode')
    assert cfg.to_dict() == twin.to_dict(), loss


@pytest.mark.parametrize('name', BUILT)
def test_step_reaches_every_parameter(name):
    channels = DATA[parts(name)[2]]
    torch.manual_seed(0)
    model = build(name).train()
    images = torch.randn(2, 3, 64, 64)
    labels = torch.randint(max(channels, 2), (2, 1, 64, 64))
    labels[:, :, :8] = 255
    samples = [
        SegDataSample(gt_sem_seg=PixelData(data=label), metainfo={'img_shape': (64, 64)})
        for label in labels
    ]
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        loss, log = model.parse_losses(model.loss(images, samples))
    expected = ['decode', 'aux'][: len(heads(model))]
    assert [key.split('.')[0] for key in log if '.loss' in key] == expected
    loss.backward()
    assert torch.isfinite(loss)
    trained = {key: value for key, value in model.named_parameters() if value.requires_grad}
    # The feature pyramid of MMSegmentation computes nothing that its head does not use.
    without = [key for key, value in trained.items() if value.grad is None]
    assert not without
    assert all(torch.isfinite(value.grad).all() for value in trained.values())


@pytest.mark.parametrize('name', ['bce_fpn_r50_duts', 'ce_deeplabv3plus_r50_voc'])
def test_prediction_is_what_the_judges_read(name):
    model = build(name).eval()
    meta = dict(img_shape=(64, 64), ori_shape=(40, 48), pad_shape=(64, 64), padding_size=[0] * 4)
    label = torch.zeros(1, 40, 48, dtype=torch.long)
    sample = SegDataSample(gt_sem_seg=PixelData(data=label), metainfo=meta)
    with torch.no_grad():
        (answer,) = model.predict(torch.randn(1, 3, 64, 64), [sample])
    channels = DATA[parts(name)[2]]
    assert answer.pred_sem_seg.data.shape == (1, 40, 48)
    assert answer.seg_logits.data.shape == (channels, 40, 48)
    for judge in map(METRICS.build, load(name).val_evaluator):
        judge.dataset_meta = {'classes': ['x'] * max(channels, 2)}
        judge.process(None, [answer.to_dict()])
        assert judge.evaluate(1)
