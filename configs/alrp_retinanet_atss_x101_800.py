_base_ = ['alrp_retinanet_atss_r101_800.py', '_base_/backbone_x101.py']

model = dict(backbone=_base_.x101)
