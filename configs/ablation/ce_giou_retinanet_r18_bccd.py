_base_ = ['_base_/bccd.py', '_base_/loss_ce_giou.py']

model = dict(bbox_head=dict(type='RetinaHead', **_base_.losses))
