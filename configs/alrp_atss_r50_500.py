# Not among the published models: the recipe is that of
# alrp_retinanet_atss_r50_500.py.
_base_ = ['_base_/atss.py', '_base_/loss_alrp.py', '_base_/coco_500.py', '_base_/schedule_100e.py']

model = dict(bbox_head=dict(type='RankingATSSHead', **_base_.losses))
optim_wrapper = dict(optimizer=dict(lr=0.008))  # for 32 images a step
