# Blood cells: three classes, 205 training and 87 validation images of 640 x 480.
_base_ = 'shapes_detection.py'

dataset_type = 'CocoDataset'
data_root = 'data/bccd/'
metainfo = dict(
    classes=('RBC', 'WBC', 'Platelets'), palette=[(220, 20, 60), (0, 60, 200), (0, 160, 60)]
)
blood_cells = dict(type=dataset_type, data_root=data_root, metainfo=metainfo)
train_pipeline = _base_.train_pipeline
train_pipeline[2]['scale'] = (256, 192)
test_pipeline = _base_.test_pipeline
test_pipeline[1]['scale'] = (256, 192)
train_dataloader = dict(
    batch_sampler=dict(type='AspectRatioBatchSampler'),
    dataset=dict(blood_cells, pipeline=train_pipeline),
)
val_dataloader = dict(dataset=dict(blood_cells, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'val.json')
test_evaluator = val_evaluator
