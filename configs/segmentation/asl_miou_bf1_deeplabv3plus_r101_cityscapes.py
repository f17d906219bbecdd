_base_ = ['_base_/deeplabv3plus_r101_cityscapes.py', '_base_/loss_asl_miou_bf1.py']

model = dict(
    decode_head=dict(loss_decode=_base_.loss),
    auxiliary_head=dict(loss_decode=dict(_base_.loss, loss_weight=0.4)),
)
