# SSD-like augmentation and a fixed square for training, (833, 500) keep-ratio for testing.
_base_ = 'coco_format.py'

# Where everything is read from: None is the local disk; another example is
# dict(backend='petrel', path_mapping={'data/': 's3://bucket/'}). LMDB holds images only.
backend_args = None
annotation_backend_args = (
    None if backend_args and backend_args['backend'] == 'lmdb' else backend_args
)
data_root = 'data/coco/'
train_size = (512, 512)
test_size = (833, 500)
tta_sizes = [(666, 400), (833, 500), (1166, 700)]
mean = [123.675, 116.28, 103.53]
meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')

train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PhotoMetricDistortion'),
    dict(type='Expand', mean=mean, to_rgb=True, ratio_range=(1, 4)),
    dict(type='MinIoURandomCrop', min_ious=(0.1, 0.3, 0.5, 0.7, 0.9), min_crop_size=0.3),
    dict(type='Resize', scale=train_size, keep_ratio=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(type='Resize', scale=test_size, keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackDetInputs', meta_keys=meta_keys),
]
# Each size as it is and mirrored; taken by `tools/test.py --tta`.
tta_model = dict(
    type='DetTTAModel',
    tta_cfg=dict(nms=dict(type='nms', iou_threshold=0.5), max_per_img=100),
)
tta_pipeline = [
    dict(type='LoadImageFromFile', backend_args=backend_args),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=size, keep_ratio=True) for size in tta_sizes],
            [dict(type='RandomFlip', prob=prob) for prob in (0.0, 1.0)],
            [dict(type='PackDetInputs', meta_keys=(*meta_keys, 'flip', 'flip_direction'))],
        ],
    ),
]
coco = dict(type='CocoDataset', data_root=data_root, backend_args=annotation_backend_args)
# The published batch: 4 GPUs with 8 images each.
train_dataloader = dict(
    batch_size=8,
    num_workers=4,
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=32),
        pipeline=train_pipeline,
        **coco,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    dataset=dict(
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        pipeline=test_pipeline,
        **coco,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    ann_file=data_root + val_dataloader['dataset']['ann_file'],
    backend_args=annotation_backend_args,
)
test_evaluator = val_evaluator
auto_scale_lr = dict(enable=False, base_batch_size=32)
