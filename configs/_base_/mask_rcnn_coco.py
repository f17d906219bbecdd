# Mask R-CNN and its recipe as in MMDetection, with ranked boxes; a config adds its losses.
_base_ = ['mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', 'two_stage.py', 'plugin.py']

model = _base_.two_stage
default_hooks = _base_.reliable_hooks
val_evaluator = dict(type='CocoLRPMetric')
test_evaluator = val_evaluator
