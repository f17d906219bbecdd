# Anchors, losses and learning rate as in the authors' RS-PAA.
_base_ = ['mmdet::paa/paa_r50_fpn_1x_coco.py', '_base_/plugin.py', '_base_/loss_rs.py']

model = dict(
    bbox_head=dict(
        type='RankingPAAHead',
        anchor_generator=dict(octave_base_scale=4, scales_per_octave=3),
        loss_cls=dict(_delete_=True, use_sigmoid=True, **_base_.losses.loss_cls),
        loss_bbox=dict(_delete_=True, **_base_.losses.loss_bbox),
        loss_centerness=None,
    )
)
optim_wrapper = dict(optimizer=dict(lr=0.008))  # for 16 images a step
default_hooks = _base_.reliable_hooks
val_evaluator = dict(type='CocoLRPMetric')
test_evaluator = val_evaluator
