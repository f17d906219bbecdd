_base_ = [
    'mmdet::_base_/models/retinanet_r50_fpn.py',
    '_base_/coco_500.py',
    '_base_/schedule_100e.py',
    '_base_/ranking_runtime.py',
]

model = dict(
    bbox_head=dict(
        type='RankingRetinaHead',
        anchor_generator=dict(scales_per_octave=2),
        bbox_coder=dict(target_stds=[0.1, 0.1, 0.2, 0.2]),
        reg_decoded_bbox=True,
        loss_cls=dict(_delete_=True, type='ALRPLoss', use_sigmoid=True),
        loss_bbox=dict(_delete_=True, type='GIoULoss', reduction='none'),
    )
)
optim_wrapper = dict(optimizer=dict(lr=0.008))  # for 32 images a step
param_scheduler = _base_.param_scheduler
param_scheduler[1]['milestones'] = [60, 80]
