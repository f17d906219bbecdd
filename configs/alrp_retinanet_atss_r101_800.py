_base_ = [
    '_base_/retinanet_atss.py',
    '_base_/backbone_r101.py',
    '_base_/loss_alrp.py',
    '_base_/coco_800.py',
    '_base_/schedule_100e_early.py',
]

model = dict(
    backbone=_base_.r101,
    bbox_head=dict(
        type='RankingRetinaHead', anchor_generator=dict(scales_per_octave=3), **_base_.losses
    ),
)
optim_wrapper = dict(optimizer=dict(lr=0.004))  # for 16 images a step
