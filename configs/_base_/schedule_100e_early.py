# The steps of the ablation models and of scale 800.
_base_ = 'schedule_100e.py'

param_scheduler = _base_.param_scheduler
param_scheduler[1]['milestones'] = [60, 80]
