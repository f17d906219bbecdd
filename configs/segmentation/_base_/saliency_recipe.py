# Pictures and masks brought to 352 x 352, flipped at random; judged at their own size.
_base_ = ['schedule_20k.py', 'runtime.py']

crop_size = (352, 352)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadSaliencyMask'),
    dict(type='Resize', scale=crop_size),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=crop_size),
    dict(type='LoadSaliencyMask'),
    dict(type='PackSegInputs'),
]
dataset_type = 'SaliencyDataset'
folders = dict(img_path='images', seg_map_path='masks')
train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(type=dataset_type, data_prefix=folders, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type=dataset_type, data_prefix=folders, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = [dict(type='SODMetric')]
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(lr=0.01))  # for 16 images a step
auto_scale_lr = dict(enable=False, base_batch_size=16)
default_hooks = dict(checkpoint=dict(save_best='maxF', rule='greater'))
