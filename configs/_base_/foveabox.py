# FoveaBox without deformable convolution; a config adds its losses.
_base_ = 'mmdet::_base_/models/retinanet_r50_fpn.py'

model = dict(
    type='FOVEA',
    bbox_head=dict(
        _delete_=True,
        type='FoveaHead',
        num_classes=80,
        in_channels=256,
        feat_channels=256,
        stacked_convs=4,
        strides=[8, 16, 32, 64, 128],
        base_edge_list=[16, 32, 64, 128, 256],
        scale_ranges=((1, 64), (32, 128), (64, 256), (128, 512), (256, 2048)),
        sigma=0.4,
        with_deform=False,
        loss_cls=dict(use_sigmoid=True),
        loss_bbox=dict(),
    ),
    train_cfg=dict(_delete_=True),
)
