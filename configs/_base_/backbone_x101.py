# Its BN is trained, unlike that of the ResNets.
x101 = dict(
    type='ResNeXt',
    depth=101,
    groups=64,
    base_width=4,
    norm_eval=False,
    init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://resnext101_64x4d'),
)
