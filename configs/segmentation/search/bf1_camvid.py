_base_ = '_base_/camvid.py'

search = dict(target_metric='BF1', space=dict(segments=1))

train_dataloader = dict(batch_size=4)  # four curves of eleven classes take their time
