# Faster R-CNN that ranks; a config adds its losses.
_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py', 'two_stage.py']

model = _base_.two_stage
