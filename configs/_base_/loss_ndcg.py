losses = dict(
    reg_decoded_bbox=True,
    loss_cls=dict(type='NDCGLoss', self_balance=True),
    loss_bbox=dict(type='GIoULoss', reduction='none'),
)
