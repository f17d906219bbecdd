# Draw the data set:
# `python tools/make_shapes.py data/shapes_saliency --kind saliency --scenes hard`.
_base_ = 'shapes_semantic.py'

dataset_type = 'SaliencyDataset'
num_classes = 2
data_root = 'data/shapes_saliency/'
train_pipeline = _base_.train_pipeline
train_pipeline[1] = dict(type='LoadSaliencyMask')
test_pipeline = _base_.test_pipeline
test_pipeline[1] = dict(type='LoadSaliencyMask')
train_dataloader = dict(
    dataset=dict(type=dataset_type, data_root=data_root, pipeline=train_pipeline)
)
val_dataloader = dict(dataset=dict(type=dataset_type, data_root=data_root, pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = [dict(type='SODMetric')]
test_evaluator = val_evaluator
