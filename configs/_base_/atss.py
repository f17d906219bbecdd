# ATSS with its own head and its one anchor a place; a config adds its losses.
_base_ = 'retinanet_atss.py'

model = dict(
    type='ATSS',
    neck=dict(add_extra_convs='on_output'),
    bbox_head=dict(anchor_generator=dict(octave_base_scale=8, scales_per_octave=1)),
)
