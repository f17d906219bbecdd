_base_ = '../../_base_/loss_alrp.py'

losses = dict(loss_bbox=dict(_delete_=True, type='IoULoss', mode='linear', reduction='none'))
