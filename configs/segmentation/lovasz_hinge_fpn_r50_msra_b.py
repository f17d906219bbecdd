_base_ = ['_base_/fpn_r50_saliency.py', '_base_/msra_b.py', '_base_/loss_lovasz_hinge.py']

model = dict(decode_head=dict(loss_decode=_base_.loss))
