# MSRA-B: 5000 images in one folder; lists of names say which 2500 to train on, 500 to validate and
# 2000 to test with. Half the iterations of DUTS, which has four times the images.
_base_ = ['saliency_recipe.py']

data_root = 'data/saliency/MSRA-B'
train_dataloader = dict(dataset=dict(data_root=data_root, ann_file='train.txt'))
val_dataloader = dict(dataset=dict(data_root=data_root, ann_file='val.txt'))
test_dataloader = dict(dataset=dict(data_root=data_root, ann_file='test.txt'))
param_scheduler = _base_.param_scheduler
param_scheduler[0].update(end=10000)
train_cfg = dict(max_iters=10000, val_interval=1000)
default_hooks = dict(checkpoint=dict(interval=1000))
