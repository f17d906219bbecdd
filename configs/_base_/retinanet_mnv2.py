# RetinaNet on a MobileNetV2 with ImageNet's weights, for photos of a few hundred pixels; ATSS.
_base_ = 'retinanet_atss.py'

model = dict(
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        out_indices=(2, 4, 6),  # strides 8, 16, 32
        frozen_stages=3,  # up to stride 8: a few hundred photos, and half the time of a step
        norm_eval=True,  # eight images a step are too few for statistics of their own
        # Or a file: tools/train.py --backbone-weights FILE
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://mmdet/mobilenet_v2'),
    ),
    neck=dict(in_channels=[32, 96, 320], start_level=0, out_channels=128),
    bbox_head=dict(
        in_channels=128,
        feat_channels=128,
        stacked_convs=2,
        anchor_generator=dict(octave_base_scale=2),
    ),
    # Scores of a ranking loss say which is better, not how likely an object is.
    test_cfg=dict(score_thr=0.001),
)
# The backbone's last convolution, after stride 32, is not used.
find_unused_parameters = True
