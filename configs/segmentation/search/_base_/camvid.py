# Proxy for two cores, seconds a sample: the net of the proxy on shapes, for eleven classes, on
# crops of 64 x 64 of images at half their size. The samples go on from one training with cross
# entropy: from random weights all losses come to much the same in so few steps.
_base_ = 'shapes.py'

dataset_type = 'CamVidDataset'
data_root = 'data/camvid/'
scale = (120, 90)
train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    dict(type='Resize', scale=scale),
    dict(type='RandomCrop', crop_size=(64, 64), cat_max_ratio=0.75),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=scale),
    dict(type='LoadAnnotations'),
    dict(type='PackSegInputs'),
]
model = dict(decode_head=dict(num_classes=11))
train_dataloader = dict(
    dataset=dict(type=dataset_type, data_root=data_root, pipeline=train_pipeline, metainfo=None)
)
val_dataloader = dict(
    dataset=dict(type=dataset_type, data_root=data_root, pipeline=test_pipeline, metainfo=None)
)
test_dataloader = val_dataloader
max_iters = 100
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_iters, T_max=max_iters - 10)
search = dict(start=dict(max_iters=600), holdout=dict(count=64))
