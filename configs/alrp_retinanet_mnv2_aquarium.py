_base_ = [
    '_base_/retinanet_mnv2.py',
    '_base_/loss_alrp.py',
    '_base_/aquarium.py',
    '_base_/schedule_mnv2.py',
]

model = dict(bbox_head=dict(type='RankingRetinaHead', num_classes=7, **_base_.losses))
