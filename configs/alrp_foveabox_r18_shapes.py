_base_ = [
    '_base_/foveabox.py',
    '_base_/loss_alrp.py',
    '_base_/r18_scratch.py',
    '_base_/shapes_detection.py',
    '_base_/schedule_shapes.py',
]

model = dict(
    backbone=_base_.r18,
    neck=_base_.r18_neck,
    bbox_head=dict(
        type='RankingFoveaHead',
        num_classes=5,
        strides=[8, 16, 32, 64],
        base_edge_list=[16, 32, 64, 128],
        scale_ranges=((1, 32), (16, 64), (32, 128), (64, 512)),
        **_base_.r18_head,
        **_base_.losses,
    ),
    test_cfg=_base_.low_score_thr,
)
