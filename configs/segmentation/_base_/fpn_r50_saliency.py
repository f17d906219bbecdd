# A feature pyramid with one channel: how probable it is that a pixel is salient.
_base_ = 'mmseg::_base_/models/fpn_r50.py'

model = dict(
    data_preprocessor=dict(size=(352, 352)),
    decode_head=dict(num_classes=2, out_channels=1, threshold=0.5, loss_decode=dict(_delete_=True)),
)
