# Enough for the drawn shapes: six epochs.
_base_ = 'schedule_small.py'

max_epochs = 6
train_cfg = dict(max_epochs=max_epochs, val_interval=2)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs, T_max=max_epochs)
default_hooks = dict(
    checkpoint=dict(interval=1),
    # An epoch is a sixth of this run, far too long for one ratio: on COCO it is a hundredth.
    self_balance=dict(interval=20),
)
