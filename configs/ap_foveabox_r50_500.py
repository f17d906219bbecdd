_base_ = [
    '_base_/foveabox.py',
    '_base_/loss_ap.py',
    '_base_/coco_500.py',
    '_base_/schedule_100e.py',
]

losses = _base_.losses
losses['loss_bbox']['beta'] = 0.11
model = dict(bbox_head=dict(type='RankingFoveaHead', **losses))
optim_wrapper = dict(optimizer=dict(lr=0.002))  # for 32 images a step
