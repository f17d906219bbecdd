_base_ = 'focal_retinanet_r18_shapes.py'

model = dict(
    bbox_head=dict(
        type='RankingRetinaHead',
        loss_cls=dict(_delete_=True, type='ALRPLoss', use_sigmoid=True),
        loss_bbox=dict(_delete_=True, type='GIoULoss', reduction='none'),
    )
)
# An epoch is a sixth of this run, far too long for one ratio: on COCO it is a hundredth.
custom_hooks = [dict(type='SelfBalanceHook', interval=20)]
