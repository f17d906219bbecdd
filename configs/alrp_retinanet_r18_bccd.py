_base_ = 'focal_retinanet_r18_bccd.py'

model = dict(
    bbox_head=dict(
        type='RankingRetinaHead',
        loss_cls=dict(_delete_=True, type='ALRPLoss', use_sigmoid=True),
        loss_bbox=dict(_delete_=True, type='GIoULoss', reduction='none'),
    )
)
custom_hooks = [dict(type='SelfBalanceHook')]
