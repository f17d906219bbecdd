_base_ = ['_base_/hrnet_w48_voc.py', '_base_/loss_asl_miou_biou.py']

model = dict(decode_head=dict(loss_decode=dict(_base_.loss, drop_background=True)))
