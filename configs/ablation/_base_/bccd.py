_base_ = ['retinanet_r18.py', '../../_base_/bccd.py', '../../_base_/schedule_small.py']

model = dict(
    neck=dict(out_channels=96),
    bbox_head=dict(num_classes=3, in_channels=96, feat_channels=96),
)
default_hooks = _base_.ablation_hooks
