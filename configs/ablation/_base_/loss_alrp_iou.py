_base_ = 'loss_alrp_iou_sb.py'

losses = dict(loss_cls=dict(self_balance=False))
