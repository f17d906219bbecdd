# Proxy for two cores, seconds a sample: the net of the proxy on shapes, for eleven classes, on
# crops of 64 x 64 of images at half their size.
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
