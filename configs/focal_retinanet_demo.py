_base_ = ['_base_/demo.py', '_base_/loss_focal.py']

model = dict(bbox_head=dict(type='RetinaATSSHead', **_base_.losses))
