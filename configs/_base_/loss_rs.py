losses = dict(
    reg_decoded_bbox=True,
    loss_cls=dict(type='RankSortLoss', delta=0.5),
    loss_bbox=dict(type='GIoULoss', reduction='none'),
)
