# Mask R-CNN whose boxes are ranked; a config adds its losses.
_base_ = ['mmdet::_base_/models/mask-rcnn_r50_fpn.py', 'two_stage.py']

model = _base_.two_stage
