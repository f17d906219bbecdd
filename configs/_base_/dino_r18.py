# A small DINO that a CPU can train: ResNet-18 of half the width, levels of stride 16 and 32, 2 + 2
# layers and 40 queries. A level of stride 8 makes a step more than twice as long. The width of the
# transformer is MMDetection's only one.
dims = 256
levels = 2
ffn = dict(embed_dims=dims, feedforward_channels=dims, ffn_drop=0.0)
attention = dict(embed_dims=dims, num_heads=8, dropout=0.0)
deformable = dict(attention, num_levels=levels)
model = dict(
    type='DINO',
    num_queries=40,
    num_feature_levels=levels,
    with_box_refine=True,
    as_two_stage=True,
    data_preprocessor=dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
    ),
    backbone=dict(type='ResNet', depth=18, base_channels=32, out_indices=(2, 3), norm_eval=False),
    neck=dict(
        type='ChannelMapper',
        in_channels=[128, 256],
        kernel_size=1,
        out_channels=dims,
        act_cfg=None,
        norm_cfg=dict(type='GN', num_groups=32),
        num_outs=levels,
    ),
    encoder=dict(num_layers=2, layer_cfg=dict(self_attn_cfg=deformable, ffn_cfg=ffn)),
    decoder=dict(
        num_layers=2,
        return_intermediate=True,
        layer_cfg=dict(self_attn_cfg=attention, cross_attn_cfg=deformable, ffn_cfg=ffn),
        post_norm_cfg=None,
    ),
    positional_encoding=dict(num_feats=dims // 2, normalize=True, temperature=20),
    dn_cfg=dict(
        label_noise_scale=0.5,
        box_noise_scale=1.0,
        group_cfg=dict(dynamic=True, num_groups=None, num_dn_queries=20),
    ),
    bbox_head=dict(
        num_classes=5,
        embed_dims=dims,
        sync_cls_avg_factor=True,
        loss_cls=dict(use_sigmoid=True),
        loss_bbox=dict(type='L1Loss', loss_weight=5.0),
    ),
    train_cfg=dict(
        assigner=dict(
            type='HungarianAssigner',
            match_costs=[
                dict(type='FocalLossCost', weight=2.0),
                dict(type='BBoxL1Cost', weight=5.0, box_format='xywh'),
                dict(type='IoUCost', iou_mode='giou', weight=2.0),
            ],
        )
    ),
    test_cfg=dict(max_per_img=100),
)
