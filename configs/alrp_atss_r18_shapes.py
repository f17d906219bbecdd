_base_ = [
    '_base_/atss.py',
    '_base_/loss_alrp.py',
    '_base_/r18_scratch.py',
    '_base_/shapes_detection.py',
    '_base_/schedule_shapes.py',
]

model = dict(
    backbone=_base_.r18,
    neck=_base_.r18_neck,
    bbox_head=dict(
        type='RankingATSSHead',
        num_classes=5,
        anchor_generator=dict(octave_base_scale=4, strides=[8, 16, 32, 64]),
        **_base_.r18_head,
        **_base_.losses,
    ),
    test_cfg=_base_.low_score_thr,
)
