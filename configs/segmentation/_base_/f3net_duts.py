# DUTS as F3Net was trained on it: soft masks, crops that leave out an eighth of each edge at most,
# batches of five sizes, a rate that rises for 16 epochs and falls for 16.
_base_ = 'duts.py'

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadSaliencyMask', soft=True),
    dict(
        type='mmdet.RandomCrop',
        crop_type='relative_range',
        crop_size=(0.875, 0.875),
        allow_negative_crop=True,
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSaliencyInputs'),
]
train_dataloader = dict(
    batch_size=32,
    num_workers=8,
    sampler=dict(type='DefaultSampler'),
    collate_fn=dict(type='multi_size_collate', sizes=[224, 256, 288, 320, 352]),
    dataset=dict(pipeline=train_pipeline),
)
optim_wrapper = dict(
    optimizer=dict(lr=0.05, nesterov=True),  # for 32 images a step, on one GPU
    paramwise_cfg=dict(_delete_=True, custom_keys=dict(backbone=dict(lr_mult=0.1))),
)
auto_scale_lr = dict(base_batch_size=32)
max_epochs, half = 32, 16
peak = half / (max_epochs + 1) * 2  # of lr, in the two epochs in the middle
param_scheduler = [
    dict(type='LinearLR', start_factor=peak / half, end_factor=peak, begin=0, end=half),
    dict(type='LinearLR', start_factor=1.0, end_factor=1 / half, begin=half, end=max_epochs),
]
train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=4)
default_hooks = dict(
    logger=dict(log_metric_by_epoch=True), checkpoint=dict(by_epoch=True, interval=4)
)
log_processor = dict(by_epoch=True)
