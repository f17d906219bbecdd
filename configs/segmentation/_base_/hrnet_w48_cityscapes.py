# HRNet with a head on all four resolutions, without losses; it has no auxiliary head.
_base_ = ['mmseg::_base_/models/fcn_hr18.py', 'cityscapes.py']

channels = [48, 96, 192, 384]
model = dict(
    data_preprocessor=dict(size=(512, 1024)),
    pretrained='open-mmlab://msra/hrnetv2_w48',
    backbone=dict(
        extra=dict(
            stage2=dict(num_channels=channels[:2]),
            stage3=dict(num_channels=channels[:3]),
            stage4=dict(num_channels=channels),
        )
    ),
    decode_head=dict(
        num_classes=19,
        in_channels=channels,
        channels=sum(channels),
        loss_decode=dict(_delete_=True),
    ),
)
