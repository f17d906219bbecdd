_base_ = '_base_/shapes.py'

search = dict(target_metric=dict(mIoU=1.0, BF1=1.0))
