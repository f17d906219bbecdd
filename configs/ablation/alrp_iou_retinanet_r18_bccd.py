_base_ = ['_base_/bccd.py', '_base_/loss_alrp_iou.py']

model = dict(bbox_head=dict(type='RankingRetinaHead', **_base_.losses))
