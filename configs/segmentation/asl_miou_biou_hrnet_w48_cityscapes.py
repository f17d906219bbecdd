_base_ = ['_base_/hrnet_w48_cityscapes.py', '_base_/loss_asl_miou_biou.py']

model = dict(decode_head=dict(loss_decode=_base_.loss))
