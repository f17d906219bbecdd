# The small RetinaNet with 96 channels.
_base_ = 'retinanet_r18.py'

model = dict(
    neck=dict(out_channels=96),
    bbox_head=dict(in_channels=96, feat_channels=96),
)
