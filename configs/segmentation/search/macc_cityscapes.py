_base_ = '_base_/cityscapes.py'

search = dict(target_metric='mAcc')
