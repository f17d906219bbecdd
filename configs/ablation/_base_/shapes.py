_base_ = [
    'retinanet_r18.py',
    '../../_base_/shapes_detection.py',
    '../../_base_/schedule_shapes.py',
]

model = dict(bbox_head=dict(num_classes=5))
default_hooks = _base_.ablation_hooks
