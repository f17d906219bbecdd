# DINO and its recipe as in MMDetection, with ranked queries; a config adds its losses.
_base_ = ['mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py', 'plugin.py']

model = dict(
    bbox_head=dict(
        type='RankingDINOHead',
        loss_cls=dict(_delete_=True, use_sigmoid=True),
        loss_iou=dict(_delete_=True),
    )
)
default_hooks = _base_.reliable_hooks
val_evaluator = dict(type='CocoLRPMetric')
test_evaluator = val_evaluator
