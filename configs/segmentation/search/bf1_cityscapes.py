_base_ = '_base_/cityscapes.py'

search = dict(target_metric='BF1', space=dict(segments=1))  # as released for VOC
