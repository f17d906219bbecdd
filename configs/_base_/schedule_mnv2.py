# AdamW for about 900 steps, whatever the number of images, with a cosine by the step.
_base_ = 'runtime.py'

max_iters = 900
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=150),
    dict(
        type='CosineAnnealingLR',
        by_epoch=False,
        begin=0,
        end=max_iters,
        T_max=max_iters,
        eta_min_ratio=0.01,
    ),
]
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-4, weight_decay=0.05),
    clip_grad=dict(max_norm=10.0),
)
default_hooks = dict(
    checkpoint=dict(by_epoch=False, interval=max_iters // 3, max_keep_ckpts=1),
    logger=dict(interval=25),
    self_balance=dict(interval=20),
    channels_last=dict(type='ChannelsLastHook'),
)
log_processor = dict(by_epoch=False)
randomness = dict(seed=0)
