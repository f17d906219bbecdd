losses = dict(
    reg_decoded_bbox=True,
    loss_cls=dict(type='ALRPLoss'),
    loss_bbox=dict(type='GIoULoss', reduction='none'),
)
rpn_losses = dict(losses, loss_cls=dict(type='ALRPLoss', tau=0.7))  # the RPN's positive threshold
