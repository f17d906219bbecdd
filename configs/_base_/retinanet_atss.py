# RetinaNet with square anchors and the ATSS assigner; a config adds its losses.
_base_ = 'retinanet.py'

model = dict(
    bbox_head=dict(anchor_generator=dict(ratios=[1.0])),
    train_cfg=dict(assigner=dict(_delete_=True, type='ATSSAssigner', topk=9)),
)
