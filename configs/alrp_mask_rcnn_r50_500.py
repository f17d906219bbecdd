# Not among the published models: the recipe is that of
# alrp_faster_rcnn_r50_500.py.
_base_ = [
    '_base_/mask_rcnn.py',
    '_base_/loss_alrp.py',
    '_base_/coco_500.py',
    '_base_/schedule_100e.py',
]

train_pipeline = _base_.train_pipeline
train_pipeline[1]['with_mask'] = True
test_pipeline = _base_.test_pipeline
test_pipeline[2]['with_mask'] = True

model = dict(rpn_head=_base_.rpn_losses, roi_head=dict(bbox_head=_base_.losses))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator
optim_wrapper = dict(optimizer=dict(lr=0.012))  # for 32 images a step
