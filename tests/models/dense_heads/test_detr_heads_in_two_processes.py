import pytest
import torch
from detr_heads import DENOISING, DN_META, LAYERS, METAS, QUERIES, detr_head, truths
from in_processes import run_in_processes
from mmengine.model import BaseModel
from tiny_heads import boxes_of
from torch.nn.parallel import DistributedDataParallel

CASES = [('process', 'empty'), ('global', 'empty'), ('global', 'boxes')]
NOTHING = {'loss_weight': 0.0}  # normalised over the processes by the parent, not by a ranking
OTHERS = {
    'loss_bbox': {'type': 'L1Loss', **NOTHING},
    'loss_dn_cls': {'type': 'FocalLoss', 'use_sigmoid': True, **NOTHING},
    'loss_dn_iou': {'type': 'GIoULoss', **NOTHING},
}


class QueryLoss(torch.nn.Module):
    """The ranking losses of a DINO head as the output of a module, as DDP wants it."""

    def __init__(self, scope):
        super().__init__()
        loss = {'type': 'ALRPLoss', 'use_sigmoid': True, 'scope': scope}
        self.head = detr_head('RankingDINOHead', loss_cls=loss, **OTHERS)
        generator = torch.Generator().manual_seed(0)
        for parameter in self.head.parameters():
            parameter.data.normal_(std=0.5, generator=generator)

    def forward(self, rest, images):
        """Of some of two images; the second has boxes or none."""
        generator = torch.Generator().manual_seed(1)
        truth = [truths()[0], truths()[1] if rest == 'boxes' else boxes_of()][images]
        denoising = DENOISING if any(map(len, truth)) else 0
        total = DENOISING + QUERIES
        states = torch.randn(LAYERS, 2, total, 8, generator=generator)
        references = torch.rand(LAYERS + 1, 2, total, 4, generator=generator)
        memory = torch.randn(2, QUERIES, 8, generator=generator)[images]
        first = DENOISING - denoising  # no denoising queries where there is no box
        outputs = self.head(states[:, images, first:], list(references[:, images, first:]))
        proposals = (
            self.head.cls_branches[LAYERS](memory),
            self.head.reg_branches[LAYERS](memory).sigmoid(),
        )
        meta = {**DN_META, 'num_denoising_queries': denoising}
        losses = self.head.loss_by_feat(*outputs, *proposals, truth, METAS[images], meta)
        return BaseModel.parse_losses(self.head, losses)[0]


def train_an_image_each(rank, world_size):
    found = []
    for scope, rest in CASES:
        # without find_unused_parameters a parameter without gradient is an error in the next step
        model = DistributedDataParallel(QueryLoss(scope))
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
    scope, rest = case
    model = QueryLoss('process')
    share = 2 if scope == 'process' else 1
    model(rest, slice(0, 1 if scope == 'process' else 2)).backward()
    expected = {key: part.grad / share for key, part in model.head.named_parameters()}
    assert all(part.any() for part in expected.values())
    for found in gradients:
        torch.testing.assert_close(found[case], expected, rtol=1e-4, atol=1e-5)
