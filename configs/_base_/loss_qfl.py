losses = dict(
    reg_decoded_bbox=True,
    loss_cls=dict(type='QualityFocalLoss', beta=2.0),
    loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
)
