# The paper's proxy: R50 DeepLabv3+ on crops of 128 x 128, 1000 iterations, 1500 images held out.
# The rewards see what the loss sees: 128 pixels from the middle of an image, masks made as small.
_base_ = '../../_base_/deeplabv3plus_r50_voc.py'

side = 128
loss = dict(type='AutoSegLoss', drop_background=True)
model = dict(
    data_preprocessor=dict(size=(side, side)),
    decode_head=dict(loss_decode=loss),
    auxiliary_head=dict(loss_decode=dict(**loss, loss_weight=0.4)),
)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='RandomResize', scale=(4 * side, side), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=(side, side), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', scale=(4 * side, side), keep_ratio=True),
    dict(type='CenterCrop', crop_size=(side, side)),
    dict(type='JudgeAtInputSize'),
    dict(type='PackSegInputs'),
]
# For whole images judged at their original size instead: docs/search.md.
original_size_pipeline = _base_.test_pipeline
original_size_pipeline[1].update(scale=(4 * side, side))
datasets = _base_.train_dataloader.dataset.datasets
datasets[0].pipeline = datasets[1].pipeline = train_pipeline
train_dataloader = dict(batch_size=32, dataset=dict(datasets=datasets))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
max_iters = 1000
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=max_iters)
auto_scale_lr = None
search = dict(
    space=dict(parameterization='bezier', segments=2, truth_table=True, monotone=True),
    algorithm=dict(type='PPO', samples=32, sigma=0.2, clip=0.1, updates=100),
    rounds=20,
    holdout=dict(count=1500, seed=0),
    executor=dict(type='local', workers=1, threads=4, devices=[0], timeout=7200),
    seed=0,
)
