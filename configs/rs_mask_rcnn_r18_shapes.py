_base_ = [
    '_base_/mask_rcnn.py',
    '_base_/rank_sort_masks.py',
    '_base_/loss_rs.py',
    '_base_/two_stage_r18.py',
    '_base_/shapes_masks.py',
    '_base_/schedule_shapes.py',
]

mask_head = dict(_base_.rank_sort_masks.mask_head, **_base_.small_mask_head)
model = dict(
    _base_.two_stage_r18,
    rpn_head=dict(_base_.two_stage_r18.rpn_head, **_base_.losses),
    roi_head=dict(
        _base_.rank_sort_masks,
        bbox_roi_extractor=_base_.small_rois,
        bbox_head=dict(_base_.small_box_head, **_base_.losses),
        mask_roi_extractor=_base_.small_rois,
        mask_head=mask_head,
    ),
    train_cfg=dict(
        rpn_proposal=_base_.few_proposals,
        rcnn=dict(sampler=_base_.all_proposals),
    ),
)
