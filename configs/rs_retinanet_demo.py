_base_ = ['_base_/demo.py', '_base_/loss_rs.py']

model = dict(bbox_head=dict(type='RankingRetinaHead', **_base_.losses))
