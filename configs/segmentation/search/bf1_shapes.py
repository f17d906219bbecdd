_base_ = '_base_/shapes.py'

search = dict(target_metric='BF1', space=dict(segments=1))
