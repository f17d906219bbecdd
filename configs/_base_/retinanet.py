# RetinaNet with two anchor scales an octave; a config adds its losses.
_base_ = 'mmdet::_base_/models/retinanet_r50_fpn.py'

model = dict(
    bbox_head=dict(
        anchor_generator=dict(scales_per_octave=2),
        bbox_coder=dict(target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(_delete_=True, use_sigmoid=True),
        loss_bbox=dict(_delete_=True),
    )
)
