_base_ = ['alrp_retinanet_r50_500.py', '_base_/backbone_r101.py']

model = dict(backbone=_base_.r101)
