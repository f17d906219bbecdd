_base_ = ['_base_/dino.py', '_base_/loss_alrp.py']

model = dict(bbox_head=dict(loss_cls=_base_.losses.loss_cls, loss_iou=_base_.losses.loss_bbox))
