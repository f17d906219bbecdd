# A small RetinaNet for small images: levels from stride 8, small anchors, ATSS.
_base_ = ['retinanet_atss.py', 'r18_scratch.py']

model = dict(
    backbone=_base_.r18,
    neck=_base_.r18_neck,
    bbox_head=dict(
        _base_.r18_head, anchor_generator=dict(octave_base_scale=2, strides=[8, 16, 32, 64])
    ),
    test_cfg=_base_.low_score_thr,
)
