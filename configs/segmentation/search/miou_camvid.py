_base_ = '_base_/camvid.py'

search = dict(target_metric='mIoU')
