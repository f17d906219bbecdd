_base_ = ['_base_/foveabox.py', '_base_/coco_500.py', '_base_/schedule_100e.py']

model = dict(
    bbox_head=dict(
        loss_cls=dict(type='FocalLoss', gamma=1.5, alpha=0.4),
        loss_bbox=dict(type='SmoothL1Loss', beta=0.11),
    )
)
optim_wrapper = dict(optimizer=dict(lr=0.02))  # for 32 images a step
