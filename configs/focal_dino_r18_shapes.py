_base_ = [
    '_base_/dino_r18.py',
    '_base_/loss_focal.py',
    '_base_/shapes_detection.py',
    '_base_/schedule_shapes_detr.py',
]

model = dict(
    bbox_head=dict(
        type='DINOHead',
        loss_cls=_base_.losses.loss_cls,
        loss_iou=_base_.losses.loss_bbox,
    )
)
