# What turns a two-stage detector of MMDetection into one that ranks: no sampler in either stage,
# 1000 proposals an image, and the losses of the RPN weighted by a fifth. The RPN's boxes are coded
# as in the published model, not with MMDetection's stds of 1: its weights would be read wrong.
two_stage = dict(
    rpn_head=dict(
        type='RankingRPNHead',
        bbox_coder=dict(target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(_delete_=True, use_sigmoid=True, loss_weight=0.2),
        loss_bbox=dict(_delete_=True),
    ),
    roi_head=dict(
        bbox_head=dict(
            type='RankingShared2FCBBoxHead',
            loss_cls=dict(_delete_=True, use_sigmoid=True),
            loss_bbox=dict(_delete_=True),
        )
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(_delete_=True, type='PseudoSampler')),
        rpn_proposal=dict(max_per_img=1000),
        rcnn=dict(sampler=dict(_delete_=True, type='PseudoSampler')),
    ),
)
