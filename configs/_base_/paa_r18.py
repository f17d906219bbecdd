# A small PAA for small images: levels from stride 8, small anchors; a config adds its losses.
_base_ = 'retinanet_r18.py'

model = dict(
    type='PAA',
    bbox_head=dict(norm_cfg=dict(type='GN', num_groups=16), num_classes=5),
    train_cfg=dict(
        assigner=dict(
            _delete_=True,
            type='MaxIoUAssigner',
            pos_iou_thr=0.1,
            neg_iou_thr=0.1,
            min_pos_iou=0,
            ignore_iof_thr=-1,
        )
    ),
)
