_base_ = [
    'retinanet_r18.py',
    '../../_base_/shapes_detection.py',
    '../../_base_/schedule_shapes.py',
]

model = dict(bbox_head=dict(num_classes=5))
default_hooks = _base_.ablation_hooks
# Half the usual length: a table has thirty runs.
max_epochs = 3
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs, T_max=max_epochs)
