# What makes a two-stage detector of MMDetection small: levels from stride 4, small anchors.
_base_ = 'r18_scratch.py'

small_box_head = dict(in_channels=64, fc_out_channels=128, num_classes=5)
small_rois = dict(out_channels=64, finest_scale=28)
two_stage_r18 = dict(
    backbone=_base_.r18,
    neck=_base_.r18_neck,
    rpn_head=dict(
        in_channels=64,
        feat_channels=64,
        anchor_generator=dict(scales=[4], strides=[4, 8, 16, 32]),
    ),
)
