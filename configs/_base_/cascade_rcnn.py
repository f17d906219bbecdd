# Cascade R-CNN with aLRP in every stage; tau is the stage's own threshold. A config adds the
# losses of the RPN.
_base_ = ['mmdet::_base_/models/cascade-rcnn_r50_fpn.py', 'two_stage.py', 'loss_alrp.py']

model = dict(
    rpn_head=_base_.two_stage.rpn_head,
    roi_head=dict(
        bbox_head=[
            dict(
                head,
                type='RankingShared2FCBBoxHead',
                reg_decoded_bbox=True,
                loss_cls=dict(type='ALRPLoss', use_sigmoid=True, tau=stage.assigner.pos_iou_thr),
                loss_bbox=_base_.losses.loss_bbox,
            )
            for head, stage in zip(
                _base_.model.roi_head.bbox_head, _base_.model.train_cfg.rcnn, strict=True
            )
        ]
    ),
    train_cfg=dict(
        rpn=_base_.two_stage.train_cfg.rpn,
        rpn_proposal=_base_.two_stage.train_cfg.rpn_proposal,
        rcnn=[
            dict(stage, sampler=dict(type='PseudoSampler')) for stage in _base_.model.train_cfg.rcnn
        ],
    ),
)
