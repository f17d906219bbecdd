_base_ = ['focal_foveabox_r50_500.py', '_base_/foveabox_deform.py']

model = dict(bbox_head=_base_.deform)
