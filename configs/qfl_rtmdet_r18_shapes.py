_base_ = [
    '_base_/rtmdet_r18.py',
    '_base_/loss_qfl.py',
    '_base_/shapes_detection.py',
    '_base_/schedule_shapes.py',
]

model = dict(bbox_head=dict(type='RTMDetSepBNHead', **_base_.losses))
