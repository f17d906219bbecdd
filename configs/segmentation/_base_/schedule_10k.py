_base_ = 'schedule_20k.py'

param_scheduler = [dict(type='PolyLR', power=0.9, eta_min=1e-4, begin=0, end=10000, by_epoch=False)]
train_cfg = dict(max_iters=10000, val_interval=1000)
default_hooks = dict(checkpoint=dict(interval=1000))
