# Two-stage Deformable DETR and its recipe as in MMDetection, with ranked queries; a config adds its
# losses.
_base_ = [
    'mmdet::deformable_detr/deformable-detr-refine-twostage_r50_16xb2-50e_coco.py',
    'plugin.py',
]

model = dict(
    bbox_head=dict(
        type='RankingDeformableDETRHead',
        loss_cls=dict(_delete_=True, use_sigmoid=True),
        loss_iou=dict(_delete_=True),
    )
)
default_hooks = _base_.reliable_hooks
val_evaluator = dict(type='CocoLRPMetric')
test_evaluator = val_evaluator
