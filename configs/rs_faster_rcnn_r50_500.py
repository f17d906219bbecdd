# Not among the published models: the recipe is that of its aLRP sibling. As in the authors' Faster
# R-CNN, the ground truth is added to the proposals and boxes are tested from a score of .40 on.
_base_ = [
    '_base_/faster_rcnn.py',
    '_base_/loss_rs.py',
    '_base_/coco_500.py',
    '_base_/schedule_100e.py',
]

model = dict(
    rpn_head=_base_.losses,
    roi_head=dict(bbox_head=_base_.losses),
    train_cfg=dict(
        # All proposals with the ground truth; PseudoSampler does not add it.
        rcnn=dict(sampler=dict(type='RandomSampler', num=10**10, pos_fraction=0.25))
    ),
    test_cfg=dict(rcnn=dict(score_thr=0.4)),
)
optim_wrapper = dict(optimizer=dict(lr=0.012))  # for 32 images a step
