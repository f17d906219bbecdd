# DeepLabv3+ without losses: a config adds them to both heads.
_base_ = ['mmseg::_base_/models/deeplabv3plus_r50-d8.py', 'voc.py']

model = dict(
    data_preprocessor=dict(size=(512, 512)),
    decode_head=dict(num_classes=21, loss_decode=dict(_delete_=True)),
    auxiliary_head=dict(num_classes=21, loss_decode=dict(_delete_=True)),
)
