"""Runs of a toy model that reports the losses it is told, with two self-balance ratios."""

from uuid import uuid4

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mmdet_alrp.engine.hooks import SelfBalanceHook
from mmdet_alrp.models.losses import SelfBalance


class Losses(Dataset):
    """Item i holds L_cls and L_loc of the first head, and of the second, at the i-th step."""

    def __init__(self, size=12):
        self.metainfo = {}
        generator = torch.Generator().manual_seed(size)
        self.data = torch.rand(size, 2, 2, generator=generator) + 0.1

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        return {'inputs': self.data[index]}


class Branch(torch.nn.Module):
    def __init__(self, **options):
        super().__init__()
        self.balance = SelfBalance(**options)


class BalancedModel(BaseModel):
    """Two heads with a ratio of their own, one with a fixed ratio; losses are means of a batch."""

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.ones(()))
        self.rpn = Branch()
        self.roi = Branch(initial_ratio=20.0)
        self.fixed = Branch(enabled=False, initial_ratio=4.0)

    def forward(self, inputs, mode='tensor'):
        # A product, so that autocast has a matrix product to run in half precision.
        losses = (torch.stack(list(inputs)).mean(0) @ torch.eye(2)) * self.factor
        self.fixed.balance(*losses[0])
        return {
            'rpn_loss_bbox': self.rpn.balance(*losses[0]),
            'roi_loss_bbox': self.roi.balance(*losses[1]),
        }


class Recorder(Hook):
    """Notes the reported losses of every step and the ratios after it and in the checkpoints."""

    priority = 'VERY_HIGH'

    def __init__(self):
        self.steps = []
        self.ratios = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.ratios.append(ratios_of(runner))
        batch = torch.stack(list(data_batch['inputs']))
        self.steps.append(batch.mean(0) * unwrap(runner.model).factor.detach())


def unwrap(model):
    return getattr(model, 'module', model)


def ratios_of(runner):
    model = unwrap(runner.model)
    return [model.rpn.balance.ratio.item(), model.roi.balance.ratio.item()]


def ratios_by_hand(steps):
    """mean(L_cls + L_loc) / mean(L_loc) of both heads over some steps."""
    ratios = []
    for head in (0, 1):
        both = sum(float(step[head, 0]) + float(step[head, 1]) for step in steps) / len(steps)
        loc = sum(float(step[head, 1]) for step in steps) / len(steps)
        ratios.append(both / loc)
    return ratios


EPOCHS = {'by_epoch': True, 'max_epochs': 3}
OPTIMIZER = {'type': 'SGD', 'lr': 1e-4}


def build_runner(work_dir, train_cfg=EPOCHS, *hooks, size=12, batch_size=3, **changes):
    """A runner of 4 steps an epoch, with these hooks or that of the balance, and its recorder."""
    recorder = Recorder()
    iterations = not train_cfg['by_epoch']
    config = {
        'model': BalancedModel(),
        'work_dir': str(work_dir),
        'train_dataloader': {
            'dataset': Losses(size),
            'sampler': {'type': 'InfiniteSampler' if iterations else 'DefaultSampler'},
            'batch_size': batch_size,
            'num_workers': 0,
        },
        'train_cfg': train_cfg,
        'optim_wrapper': {'type': 'OptimWrapper', 'optimizer': OPTIMIZER},
        'default_hooks': {'checkpoint': {'type': 'CheckpointHook', 'interval': 1}},
        'custom_hooks': [recorder, *(hooks or [SelfBalanceHook()])],
        'default_scope': 'mmdet',
        'experiment_name': uuid4().hex,
        'log_level': 'WARNING',
        'randomness': {'seed': 0},
        **changes,
    }
    checkpoint = config['default_hooks'].get('checkpoint')
    if checkpoint and iterations:
        checkpoint.update(by_epoch=False)
    cfg = Config(config.pop('cfg', {}))
    return Runner(**config, cfg=cfg), recorder
