# A small GFL for small images: levels from stride 8, small anchors; a config adds its losses.
_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py', 'r18_scratch.py']

model = dict(
    type='GFL',
    backbone=_base_.r18,
    neck=_base_.r18_neck,
    bbox_head=dict(
        _delete_=True,
        num_classes=5,
        norm_cfg=dict(type='GN', num_groups=16),
        anchor_generator=dict(
            type='AnchorGenerator',
            ratios=[1.0],
            octave_base_scale=4,
            scales_per_octave=1,
            strides=[8, 16, 32, 64],
        ),
        reg_max=16,
        loss_cls=dict(use_sigmoid=True),
        loss_dfl=dict(type='DistributionFocalLoss', loss_weight=0.25),
        **_base_.r18_head,
    ),
    train_cfg=dict(assigner=dict(_delete_=True, type='ATSSAssigner', topk=9)),
    test_cfg=_base_.low_score_thr,
)
