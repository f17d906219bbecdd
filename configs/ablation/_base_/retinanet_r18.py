# The small RetinaNet, assigner and anchors as in the paper's ablation: by IoU, three shapes.
# A row of the table changes the losses alone, or the assigner alone.
_base_ = ['../../_base_/retinanet.py', '../../_base_/r18_scratch.py']

model = dict(
    backbone=_base_.r18,
    neck=_base_.r18_neck,
    bbox_head=dict(
        _base_.r18_head, anchor_generator=dict(octave_base_scale=2, strides=[8, 16, 32, 64])
    ),
    test_cfg=_base_.low_score_thr,
)
# Every row logs how its classification loss balances positives and negatives.
ablation_hooks = dict(
    gradient_balance=dict(type='GradientBalanceHook', interval=25), self_balance=dict(interval=20)
)
