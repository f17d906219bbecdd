import pytest
import torch
from in_processes import run_in_processes
from kin_heads import kin, truths_of
from mmengine.model import BaseModel
from tiny_heads import ATSS, batch, boxes_of, features
from torch.nn.parallel import DistributedDataParallel

ASSIGNED = {'train_cfg': {'assigner': ATSS, 'allowed_border': -1, 'pos_weight': -1}}
HEADS = {
    'RetinaNet': ('RankingRetinaHead', {}),
    'RetinaNet with ATSS': ('RankingRetinaHead', ASSIGNED),
    'RPN': ('RankingRPNHead', {}),
    'ATSS': ('RankingATSSHead', {}),
    'FoveaBox': ('RankingFoveaHead', {}),
}
CASES = [
    (name, scope, rest)
    for name in HEADS
    for scope, rest in [('process', 'empty'), ('global', 'empty'), ('global', 'boxes')]
]


class HeadLoss(torch.nn.Module):
    """The trained loss of a head as the output of a module, as DDP wants it."""

    def __init__(self, name, scope):
        super().__init__()
        self.kind, changes = HEADS[name]
        loss = {'type': 'ALRPLoss', 'use_sigmoid': True, 'scope': scope}
        self.head, _ = kin(self.kind, loss_cls=loss, **changes)

    def forward(self, rest, images):
        """Of some of two images; the second has boxes or none."""
        truths, metas = batch()
        truths = truths_of(self.kind, [truths[0], truths[1] if rest == 'boxes' else boxes_of()])
        outputs = self.head([level[images] for level in features()])
        losses = self.head.loss_by_feat(*outputs, truths[images], metas[images])
        return BaseModel.parse_losses(self.head, losses)[0]


def train_an_image_each(rank, world_size):
    found = []
    for name, scope, rest in CASES:
        # without find_unused_parameters a parameter without gradient is an error in the next step
        model = DistributedDataParallel(HeadLoss(name, scope))
        for _ in range(2):
            model.zero_grad()
            model(rest, slice(rank, rank + 1)).backward()
        found.append({key: part.grad for key, part in model.module.head.named_parameters()})
    return found


@pytest.fixture(scope='module')
def gradients(tmp_path_factory):
    found = run_in_processes(train_an_image_each, 2, tmp_path_factory.mktemp('ddp'))
    return [dict(zip(CASES, of_rank, strict=True)) for of_rank in found]


@pytest.mark.parametrize('case', CASES, ids='-'.join)
def test_gradients_of_two_processes(gradients, case):
    """One that has no boxes holds up no other; a global ranking is that of the whole batch."""
    name, scope, rest = case
    model = HeadLoss(name, 'process')
    share = 2 if scope == 'process' else 1
    model(rest, slice(0, 1 if scope == 'process' else 2)).backward()
    expected = {key: part.grad / share for key, part in model.head.named_parameters()}
    assert any(part.any() for part in expected.values())
    for found in gradients:
        torch.testing.assert_close(found[case], expected, rtol=1e-4, atol=1e-5)
