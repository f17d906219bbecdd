_base_ = ['_base_/fpn_r50_saliency.py', '_base_/duts.py', '_base_/loss_structure.py']

model = dict(decode_head=dict(loss_decode=_base_.loss))
