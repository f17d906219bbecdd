_base_ = [
    '_base_/paa_r18.py',
    '_base_/loss_rs.py',
    '_base_/shapes_detection.py',
    '_base_/schedule_shapes.py',
]

model = dict(bbox_head=dict(type='RankingPAAHead', **_base_.losses))
