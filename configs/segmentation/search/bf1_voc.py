# As released: one segment, and the loss looks at the edges of the background as well. The reward
# (`val_evaluator`) does not.
_base_ = '_base_/voc.py'

search = dict(target_metric='BF1', space=dict(segments=1))
model = dict(
    decode_head=dict(loss_decode=dict(drop_background=False)),
    auxiliary_head=dict(loss_decode=dict(drop_background=False)),
)
