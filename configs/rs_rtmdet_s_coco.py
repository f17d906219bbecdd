# The recipe of MMDetection, its moving average of the weights and its second pipeline included.
_base_ = [
    'mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py',
    '_base_/plugin.py',
    '_base_/loss_rs.py',
]

model = dict(
    bbox_head=dict(
        type='RankingRTMDetSepBNHead',
        loss_cls=dict(_delete_=True, use_sigmoid=True, **_base_.losses.loss_cls),
        loss_bbox=dict(_delete_=True, **_base_.losses.loss_bbox),
    )
)
default_hooks = _base_.reliable_hooks
val_evaluator = dict(type='CocoLRPMetric')
test_evaluator = val_evaluator
auto_scale_lr = dict(base_batch_size=256)
