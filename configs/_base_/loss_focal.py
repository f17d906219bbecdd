losses = dict(
    reg_decoded_bbox=True,
    loss_cls=dict(type='FocalLoss', gamma=2.0, alpha=0.25),
    loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
)
