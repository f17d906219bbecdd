_base_ = [
    '_base_/retinanet_r18.py',
    '_base_/loss_ndcg.py',
    '_base_/shapes_detection.py',
    '_base_/schedule_shapes.py',
]

model = dict(bbox_head=dict(type='RankingRetinaHead', num_classes=5, **_base_.losses))
