_base_ = 'alrp_retinanet_r50_500.py'

model = dict(
    bbox_head=dict(anchor_generator=dict(ratios=[1.0])),
    train_cfg=dict(assigner=dict(_delete_=True, type='ATSSAssigner', topk=9)),
)
param_scheduler = _base_.param_scheduler
param_scheduler[1]['milestones'] = [75, 95]
