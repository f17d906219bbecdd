_base_ = ['_base_/retinanet_r18_scratch.py', '_base_/bccd.py', '_base_/schedule_small.py']

custom_imports = dict(imports=['mmdet_alrp'], allow_failed_imports=False)
model = dict(
    bbox_head=dict(
        type='RetinaATSSHead',
        num_classes=3,
        loss_bbox=dict(_delete_=True, type='GIoULoss', loss_weight=2.0),
    )
)
