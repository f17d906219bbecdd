losses = dict(
    reg_decoded_bbox=False,
    loss_cls=dict(type='APLoss'),
    # A mean over the four deltas, as published; the head sums over them.
    loss_bbox=dict(type='SmoothL1Loss', beta=1.0, loss_weight=0.25),
)
