_base_ = '../../_base_/loss_focal.py'

losses = dict(reg_decoded_bbox=False, loss_bbox=dict(_delete_=True, type='L1Loss', loss_weight=1.0))
