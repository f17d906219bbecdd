# A small detector with the head and the assigner of RTMDet; a config adds its losses.
_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py', 'r18_scratch.py']

model = dict(
    type='RTMDet',
    backbone=_base_.r18,
    neck=_base_.r18_neck,
    bbox_head=dict(
        _delete_=True,
        num_classes=5,
        norm_cfg=dict(type='BN'),
        anchor_generator=dict(type='MlvlPointGenerator', offset=0, strides=[8, 16, 32, 64]),
        bbox_coder=dict(type='DistancePointBBoxCoder'),
        loss_cls=dict(use_sigmoid=True),
        with_objectness=False,
        **_base_.r18_head,
    ),
    train_cfg=dict(assigner=dict(_delete_=True, type='DynamicSoftLabelAssigner', topk=13)),
    test_cfg=_base_.low_score_thr,
)
