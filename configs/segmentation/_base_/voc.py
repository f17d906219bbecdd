# Pascal VOC 2012 with the additional annotations, in data/VOCdevkit: 10582 images to train on.
_base_ = ['mmseg::_base_/datasets/pascal_voc12_aug.py', 'schedule_10k.py', 'runtime.py']

train_dataloader = dict(batch_size=8)
auto_scale_lr = dict(enable=False, base_batch_size=32)
# BIoU and BF1 as published for VOC: away from the edges of the background.
val_evaluator = [dict(type='RegionMetric'), dict(type='BoundaryMetric', drop_background=True)]
test_evaluator = val_evaluator
