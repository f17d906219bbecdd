# Not among the published models: the recipe is that of
# alrp_faster_rcnn_r50_500.py.
_base_ = ['_base_/cascade_rcnn.py', '_base_/coco_500.py', '_base_/schedule_100e.py']

model = dict(rpn_head=_base_.rpn_losses)
optim_wrapper = dict(optimizer=dict(lr=0.012))  # for 32 images a step
