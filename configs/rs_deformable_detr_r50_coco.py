# Queries are ranked with weight 2, as in BRS-DETR.
_base_ = ['_base_/deformable_detr.py', '_base_/loss_rs.py']

model = dict(
    bbox_head=dict(
        loss_cls=dict(_base_.losses.loss_cls, loss_weight=2.0),
        loss_iou=_base_.losses.loss_bbox,
    )
)
