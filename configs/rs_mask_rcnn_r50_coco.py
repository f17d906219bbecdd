# Losses, learning rate and score threshold as in the authors' RS-Mask R-CNN.
_base_ = ['_base_/mask_rcnn_coco.py', '_base_/rank_sort_masks.py', '_base_/loss_rs.py']

model = dict(
    rpn_head=_base_.losses,
    roi_head=dict(_base_.rank_sort_masks, bbox_head=_base_.losses),
    train_cfg=dict(rcnn=dict(sampler=_base_.all_proposals)),
    test_cfg=dict(rcnn=dict(score_thr=0.4)),
)
optim_wrapper = dict(optimizer=dict(lr=0.012))  # for 16 images a step
