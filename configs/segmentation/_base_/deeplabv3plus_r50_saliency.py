# DeepLabv3+ with one channel in both heads: how probable it is that a pixel is salient.
_base_ = 'mmseg::_base_/models/deeplabv3plus_r50-d8.py'

one_channel = dict(num_classes=2, out_channels=1, threshold=0.5, loss_decode=dict(_delete_=True))
model = dict(
    data_preprocessor=dict(size=(352, 352)),
    decode_head=one_channel,
    auxiliary_head=one_channel,
)
