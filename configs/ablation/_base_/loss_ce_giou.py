_base_ = '../../_base_/loss_focal.py'

losses = dict(loss_cls=dict(_delete_=True, type='CrossEntropyLoss'))
