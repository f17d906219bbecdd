_base_ = 'ap_iou_retinanet_r50_500.py'

model = dict(bbox_head=dict(loss_cls=dict(self_balance=True)))
