_base_ = [
    '_base_/gfl_r18.py',
    '_base_/loss_alrp.py',
    '_base_/shapes_detection.py',
    '_base_/schedule_shapes.py',
]

model = dict(bbox_head=dict(type='RankingGFLHead', **_base_.losses))
