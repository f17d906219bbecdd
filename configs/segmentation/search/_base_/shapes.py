# Proxy for two cores, seconds a sample: a narrow net from scratch on crops of 64 x 64. It has to
# tell ellipses from the background; other shapes, which so short a training cannot, are ignored.
_base_ = ['../../_base_/fcn_r18.py', '../../_base_/shapes_semantic.py']

max_iters = 150
classes = dict(classes=('background', 'ellipse'))
train_pipeline = _base_.train_pipeline
train_pipeline.insert(2, dict(type='RandomCrop', crop_size=(64, 64), cat_max_ratio=0.75))
model = dict(
    backbone=dict(stem_channels=16, base_channels=16),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=16),
    decode_head=dict(
        num_classes=len(classes['classes']),
        in_channels=[16] * 4,
        channels=32,
        loss_decode=dict(type='AutoSegLoss'),
    ),
)
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(_delete_=True, type='InfiniteSampler', shuffle=True),
    dataset=dict(pipeline=train_pipeline, metainfo=classes),
)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(metainfo=classes))
train_cfg = dict(
    _delete_=True, type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters
)
optim_wrapper = dict(optimizer=dict(lr=5e-3))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=10),
    dict(
        type='CosineAnnealingLR',
        by_epoch=False,
        begin=10,
        end=max_iters,
        T_max=max_iters - 10,
        eta_min_ratio=0.01,
    ),
]
log_processor = dict(by_epoch=False)
default_hooks = dict(logger=dict(log_metric_by_epoch=False))
search = dict(
    space=dict(parameterization='bezier', segments=2, truth_table=True, monotone=True),
    # steps for rounds this small: with the published ones the mean runs past its goal
    algorithm=dict(type='PPO', samples=8, sigma=0.15, clip=0.3, updates=30, lr=0.05),
    rounds=6,
    holdout=dict(count=128, seed=0),
    executor=dict(type='local', workers=2, threads=1, timeout=300),
    seed=0,
)
