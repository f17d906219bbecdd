_base_ = [
    '_base_/mask_rcnn.py',
    '_base_/loss_alrp.py',
    '_base_/two_stage_r18.py',
    '_base_/shapes_detection.py',
    '_base_/schedule_shapes.py',
]

train_pipeline = _base_.train_pipeline
train_pipeline[1]['with_mask'] = True
test_pipeline = _base_.test_pipeline
test_pipeline[2]['with_mask'] = True

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
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator
