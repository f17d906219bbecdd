_base_ = [
    '_base_/retinanet.py',
    '_base_/loss_ap.py',
    '_base_/coco_500.py',
    '_base_/schedule_100e_early.py',
]

model = dict(bbox_head=dict(type='RankingRetinaHead', **_base_.losses))
optim_wrapper = dict(optimizer=dict(lr=0.002))  # for 32 images a step
