_base_ = ['retinanet_r18.py', '../../_base_/bccd.py', '../../_base_/schedule_small.py']

model = dict(
    neck=dict(out_channels=96),
    bbox_head=dict(num_classes=3, in_channels=96, feat_channels=96),
)
default_hooks = dict(_base_.ablation_hooks, checkpoint=dict(interval=5))
# A quarter of the usual length: a table has a dozen runs.
max_epochs = 15
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs, T_max=max_epochs)
