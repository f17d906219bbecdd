# The same net with a wider pyramid and one channel: the probability that a pixel is salient.
_base_ = 'fcn_r18.py'

model = dict(
    neck=dict(out_channels=64),
    decode_head=dict(
        _delete_=True,
        type='FPNHead',
        in_channels=[64, 64, 64, 64],
        in_index=[0, 1, 2, 3],
        feature_strides=[4, 8, 16, 32],
        channels=32,
        dropout_ratio=0.1,
        num_classes=2,
        out_channels=1,
        threshold=0.5,
        norm_cfg=_base_.norm_cfg,
    ),
)
