# Not among the published models: the recipe is that of its aLRP sibling.
_base_ = [
    '_base_/retinanet_atss.py',
    '_base_/loss_rs.py',
    '_base_/coco_500.py',
    '_base_/schedule_100e.py',
]

model = dict(bbox_head=dict(type='RankingRetinaHead', **_base_.losses))
optim_wrapper = dict(optimizer=dict(lr=0.008))  # for 32 images a step
