_base_ = [
    'mmdet::_base_/models/faster-rcnn_r50_fpn.py',
    '_base_/coco_500.py',
    '_base_/schedule_100e.py',
]

optim_wrapper = dict(optimizer=dict(lr=0.04))  # for 32 images a step
