# A small FCOS for small images: levels from stride 8; a config adds its losses.
_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py', 'r18_scratch.py']

model = dict(
    type='FCOS',
    backbone=_base_.r18,
    neck=_base_.r18_neck,
    bbox_head=dict(
        _delete_=True,
        num_classes=5,
        strides=[8, 16, 32, 64],
        regress_ranges=((-1, 32), (32, 64), (64, 128), (128, 1e8)),
        norm_on_bbox=True,
        centerness_on_reg=True,
        center_sampling=True,
        norm_cfg=dict(type='GN', num_groups=16),
        loss_cls=dict(use_sigmoid=True),
        **_base_.r18_head,
    ),
    train_cfg=dict(_delete_=True),
    test_cfg=_base_.low_score_thr,
)
