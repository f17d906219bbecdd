_base_ = [
    '_base_/retinanet_r18_scratch.py',
    '_base_/shapes_detection.py',
    '_base_/schedule_small.py',
]

custom_imports = dict(imports=['mmdet_alrp'], allow_failed_imports=False)
model = dict(
    neck=dict(out_channels=64),
    bbox_head=dict(
        type='RetinaATSSHead',
        in_channels=64,
        feat_channels=64,
        num_classes=5,
        loss_bbox=dict(_delete_=True, type='GIoULoss', loss_weight=2.0),
    ),
)
max_epochs = 6
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs, T_max=max_epochs)
default_hooks = dict(checkpoint=dict(interval=1))
