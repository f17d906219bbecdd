# As at scale 500, with an 800 x 800 square for training and (1333, 800) keep-ratio for testing.
_base_ = 'coco_500.py'

train_pipeline = _base_.train_pipeline
train_pipeline[5]['scale'] = (800, 800)
test_pipeline = _base_.test_pipeline
test_pipeline[1]['scale'] = (1333, 800)
tta_sizes = [(1000, 600), (1333, 800), (2000, 1200)]
tta_pipeline = _base_.tta_pipeline
tta_pipeline[1]['transforms'][0] = [
    dict(type='Resize', scale=size, keep_ratio=True) for size in tta_sizes
]
# The published batch: 4 GPUs with 4 images each.
train_dataloader = dict(batch_size=4, dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
auto_scale_lr = dict(base_batch_size=16)
