# Cityscapes in data/cityscapes: 2975 images to train on, crops of 512 x 1024.
_base_ = ['mmseg::_base_/datasets/cityscapes.py', 'schedule_20k.py', 'runtime.py']

train_dataloader = dict(batch_size=4)
auto_scale_lr = dict(enable=False, base_batch_size=16)
val_evaluator = [dict(type='RegionMetric'), dict(type='BoundaryMetric')]
test_evaluator = val_evaluator
