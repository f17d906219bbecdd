_base_ = [
    '_base_/mask_rcnn.py',
    '_base_/loss_alrp.py',
    '_base_/two_stage_r18.py',
    '_base_/shapes_masks.py',
    '_base_/schedule_shapes.py',
]

model = dict(
    _base_.two_stage_r18,
    rpn_head=dict(_base_.two_stage_r18.rpn_head, **_base_.rpn_losses),
    roi_head=dict(
        bbox_roi_extractor=_base_.small_rois,
        bbox_head=dict(_base_.small_box_head, **_base_.losses),
        mask_roi_extractor=_base_.small_rois,
        mask_head=_base_.small_mask_head,
    ),
)
