_base_ = ['_base_/fpn_r18.py', '_base_/shapes_saliency.py', '_base_/loss_fmeasure.py']

model = dict(decode_head=dict(num_classes=_base_.num_classes, loss_decode=_base_.loss))
