_base_ = ['_base_/hrnet_w48_voc.py', '_base_/loss_lovasz.py']

model = dict(decode_head=dict(loss_decode=_base_.loss))
