_base_ = [
    '_base_/retinanet.py',
    '_base_/loss_focal.py',
    '_base_/coco_500.py',
    '_base_/schedule_100e_early.py',
]

model = dict(bbox_head=dict(type='RetinaHead', **_base_.losses))
optim_wrapper = dict(optimizer=dict(lr=0.02))  # for 32 images a step
