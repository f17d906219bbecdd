# As for the other detectors, with the smaller steps that a transformer needs.
_base_ = 'schedule_shapes.py'

optim_wrapper = dict(optimizer=dict(lr=4e-4))
