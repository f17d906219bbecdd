# F3Net (AAAI 2020) without losses: six outputs, each of one channel. The first convolution of the
# backbone stays as pretrained; here its normalisation does too, whose statistics move in theirs.
norm_cfg = dict(type='BN')
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[124.55, 118.90, 102.94],
        std=[56.77, 55.97, 57.50],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size_divisor=32,
    ),
    backbone=dict(
        type='ResNet',
        depth=50,
        frozen_stages=0,
        norm_cfg=norm_cfg,
        style='pytorch',
        init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet50'),
    ),
    decode_head=dict(
        type='F3Head',
        in_channels=[256, 512, 1024, 2048],
        channels=64,
        num_classes=2,
        out_channels=1,
        threshold=0.5,
        norm_cfg=norm_cfg,
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
