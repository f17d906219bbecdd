_base_ = [
    '_base_/fcos_r18.py',
    '_base_/loss_focal.py',
    '_base_/shapes_detection.py',
    '_base_/schedule_shapes.py',
]

model = dict(
    bbox_head=dict(
        type='FCOSHead',
        loss_cls=_base_.losses.loss_cls,
        loss_bbox=_base_.losses.loss_bbox,
    )
)
