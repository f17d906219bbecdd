# What makes a two-stage detector of MMDetection small: levels from stride 4, small anchors and
# few proposals.
_base_ = 'r18_scratch.py'

small_box_head = dict(in_channels=64, fc_out_channels=128, num_classes=5)
small_mask_head = dict(in_channels=64, conv_out_channels=64, num_convs=2, num_classes=5)
small_rois = dict(out_channels=64, finest_scale=28)
few_proposals = dict(nms_pre=500, max_per_img=200)
two_stage_r18 = dict(
    backbone=_base_.r18,
    neck=_base_.r18_neck,
    rpn_head=dict(
        in_channels=64,
        feat_channels=64,
        anchor_generator=dict(scales=[4], strides=[4, 8, 16, 32]),
    ),
    train_cfg=dict(rpn_proposal=few_proposals),
    test_cfg=dict(rpn=few_proposals, rcnn=_base_.low_score_thr),
)
