"""A loss that is to balance itself says once that nothing sets its ratio."""

import copy
import logging
import pickle

import pytest
import torch
from balanced_runs import EPOCHS, Losses, build_runner
from mmengine.hooks import EMAHook, Hook
from mmengine.logging import MMLogger
from mmengine.model import BaseModel

from mmdet_alrp.engine.hooks import SelfBalanceHook
from mmdet_alrp.models.losses import ALRPLoss, APLoss, NDCGLoss, RankSortLoss

BALANCING = {
    'aLRP': ALRPLoss,
    'AP': lambda: APLoss(self_balance=True),
    'NDCG': lambda: NDCGLoss(self_balance=True),
}
FIXED = {
    'aLRP': lambda: ALRPLoss(self_balance=False),
    'AP': APLoss,
    'NDCG': NDCGLoss,
    'RS': RankSortLoss,
    'aLRP, every so many steps': lambda: ALRPLoss(balance_every=10),
}
LINE = "default_hooks = dict(self_balance=dict(type='SelfBalanceHook'))"


@pytest.fixture
def warnings(monkeypatch):
    """What the losses warn of; MMEngine's loggers would drop repetitions."""
    said = []

    def log(logger, level, message, *args, **kwargs):
        if level >= logging.WARNING and 'SelfBalanceHook' in str(message):
            said.append(str(message))

    monkeypatch.setattr(MMLogger, 'log', log)
    return said


def step(loss, num_pos=4):
    logits = torch.linspace(-1, 1, 20, requires_grad=True)
    targets = (torch.arange(20) < num_pos).long()
    boxes = torch.full((num_pos,), 0.4)
    return loss(logits, targets, boxes, ious=1 - boxes, box_scores=boxes)


class Noting(Hook):
    """Notes after each iteration what was said so far."""

    def __init__(self, said):
        self.said, self.counts = said, []

    def after_train_iter(self, runner, *args, **kwargs):
        self.counts.append(len(self.said))


class RankedModel(BaseModel):
    """A head whose loss balances itself and is computed in validations too."""

    def __init__(self):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.ones(()))
        self.rpn = self.roi = ALRPLoss()

    def forward(self, inputs, mode='tensor'):
        loss_cls, loss_bbox, *_ = step(self.rpn)
        losses = {'loss_cls': self.factor * loss_cls, 'loss_bbox': loss_bbox}
        return losses if mode == 'loss' else [loss_bbox]


def train(folder, *hooks):
    loader = {'dataset': Losses(6), 'batch_size': 3, 'sampler': {'type': 'DefaultSampler'}}
    validation = {'val_dataloader': {**loader, 'num_workers': 0}, 'val_evaluator': []}
    runner, _ = build_runner(
        folder, EPOCHS, *hooks, size=6, model=RankedModel(), val_cfg={}, **validation
    )
    runner.train()
    return runner.model


@pytest.mark.parametrize('kind', BALANCING.values(), ids=BALANCING)
def test_first_step_without_the_hook_gives_the_line_to_add(kind, warnings):
    loss = kind()
    for _ in range(3):
        step(loss)
    (message,) = warnings
    assert message.startswith(f'{type(loss).__name__}: ') and LINE in message
    assert 'Without the runner of MMEngine' in message
    assert len(message.splitlines()) == 1


def test_step_without_positives_gives_it_too(warnings):
    step(ALRPLoss(), num_pos=0)
    assert len(warnings) == 1


@pytest.mark.parametrize('kind', FIXED.values(), ids=FIXED)
def test_loss_of_fixed_weight_needs_no_hook(kind, warnings):
    step(kind())
    assert not warnings


def test_evaluation_needs_no_hook(warnings):
    loss = ALRPLoss().eval()
    step(loss)
    assert not warnings
    step(loss.train())
    assert len(warnings) == 1


def test_run_without_the_hook_says_so_at_its_first_step(tmp_path, warnings):
    notes = Noting(warnings)
    train(tmp_path, notes)
    assert notes.counts == [1] * 6


@pytest.mark.parametrize('averaging', [False, True])
def test_run_with_the_hook_says_nothing(tmp_path, warnings, averaging):
    hooks = [EMAHook()] if averaging else []
    model = train(tmp_path, *hooks, SelfBalanceHook())
    assert not warnings
    # whoever trains the model afterwards, or a copy of it, has no hook
    for other in (copy.deepcopy(model.rpn), pickle.loads(pickle.dumps(model.rpn)), model.rpn):
        step(other.train())
        step(other)
    assert len(warnings) == 3


def test_mark_is_in_no_checkpoint():
    loss = ALRPLoss()
    before = set(loss.state_dict())
    loss.balance.driven = True
    step(loss)
    assert set(loss.state_dict()) == before == {'balance.ratio', 'balance.sums'}


def test_the_line_is_what_a_config_takes(tmp_path):
    options = {}
    exec(LINE, options)
    hooks = options['default_hooks']
    runner, _ = build_runner(tmp_path, EPOCHS, Noting([]), default_hooks=hooks)
    assert sum(isinstance(hook, SelfBalanceHook) for hook in runner.hooks) == 1
