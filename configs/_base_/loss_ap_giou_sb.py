_base_ = 'loss_ap.py'

losses = dict(
    reg_decoded_bbox=True,
    loss_cls=dict(self_balance=True),
    loss_bbox=dict(_delete_=True, type='GIoULoss', reduction='none'),
)
