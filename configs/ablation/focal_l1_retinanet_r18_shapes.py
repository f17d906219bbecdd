_base_ = ['_base_/shapes.py', '_base_/loss_focal_l1.py']

model = dict(bbox_head=dict(type='RetinaHead', **_base_.losses))
