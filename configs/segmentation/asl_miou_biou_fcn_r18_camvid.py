_base_ = ['_base_/fcn_r18.py', '_base_/camvid.py', '_base_/loss_asl_miou_biou.py']

model = dict(decode_head=dict(num_classes=_base_.num_classes, loss_decode=_base_.loss))
