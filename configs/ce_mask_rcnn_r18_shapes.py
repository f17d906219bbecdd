_base_ = [
    'mmdet::_base_/models/mask-rcnn_r50_fpn.py',
    '_base_/two_stage_r18.py',
    '_base_/shapes_masks.py',
    '_base_/schedule_shapes.py',
]

model = dict(
    _base_.two_stage_r18,
    roi_head=dict(
        bbox_roi_extractor=_base_.small_rois,
        bbox_head=_base_.small_box_head,
        mask_roi_extractor=_base_.small_rois,
        mask_head=_base_.small_mask_head,
    ),
)
