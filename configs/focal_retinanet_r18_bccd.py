_base_ = [
    '_base_/retinanet_r18_wide.py',
    '_base_/loss_focal.py',
    '_base_/bccd.py',
    '_base_/schedule_small.py',
]

model = dict(bbox_head=dict(type='RetinaATSSHead', num_classes=3, **_base_.losses))
