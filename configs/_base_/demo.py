# What `make demo` trains: ResNet-18 with a quarter of its channels and anchors from stride 16 on,
# for the easy scenes; minutes on one core. The demo draws the images.
_base_ = ['retinanet_r18.py', 'shapes_detection.py', 'schedule_mnv2.py']

model = dict(
    backbone=dict(base_channels=16),
    neck=dict(in_channels=[16, 32, 64, 128], start_level=2, num_outs=3),
    bbox_head=dict(num_classes=5, anchor_generator=dict(strides=[16, 32, 64])),
)
data_root = 'data/demo/'
train_dataloader = dict(
    batch_size=16,
    sampler=dict(type='InfiniteSampler', shuffle=True),  # the schedule counts steps
    dataset=dict(data_root=data_root),
)
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'val.json')
test_evaluator = val_evaluator

max_iters = 1600
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_iters, T_max=max_iters)
optim_wrapper = dict(optimizer=dict(lr=3e-3, fused=True))  # on a CPU that needs torch 2.4
default_hooks = dict(checkpoint=dict(interval=max_iters // 8))
