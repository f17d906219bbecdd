_base_ = '_base_/voc.py'

search = dict(target_metric='mAcc')
