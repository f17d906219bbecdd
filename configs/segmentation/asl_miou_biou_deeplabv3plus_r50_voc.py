_base_ = ['_base_/deeplabv3plus_r50_voc.py', '_base_/loss_asl_miou_biou.py']

model = dict(
    decode_head=dict(loss_decode=dict(_base_.loss, drop_background=True)),
    auxiliary_head=dict(loss_decode=dict(_base_.loss, drop_background=True, loss_weight=0.4)),
)
