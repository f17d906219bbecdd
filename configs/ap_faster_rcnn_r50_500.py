# Not among the published models: the recipe is that of its aLRP sibling.
_base_ = [
    '_base_/faster_rcnn.py',
    '_base_/loss_ap.py',
    '_base_/coco_500.py',
    '_base_/schedule_100e.py',
]

model = dict(rpn_head=_base_.losses, roi_head=dict(bbox_head=_base_.losses))
optim_wrapper = dict(optimizer=dict(lr=0.012))  # for 32 images a step
