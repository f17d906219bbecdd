# Photos in COCO format (train.json, val.json, images in folders of the same names) with a longest
# side of 320 pixels; a config adds data_root and classes.
_base_ = 'shapes_detection.py'

dataset_type = 'CocoDataset'
train_pipeline = _base_.train_pipeline
train_pipeline[2]['scale'] = (320, 320)
train_pipeline[3] = dict(type='RandomFlip', prob=0.5)
test_pipeline = _base_.test_pipeline
test_pipeline[1]['scale'] = (320, 320)
train_dataloader = dict(
    sampler=dict(type='InfiniteSampler'),  # the schedule counts steps
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(type=dataset_type, pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(type=dataset_type, pipeline=test_pipeline))
test_dataloader = val_dataloader
