_base_ = ['_base_/bccd.py', '../_base_/loss_ap_giou_sb.py']

model = dict(bbox_head=dict(type='RankingRetinaHead', **_base_.losses))
