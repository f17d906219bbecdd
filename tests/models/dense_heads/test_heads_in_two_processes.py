import time

import pytest
import torch
import torch.multiprocessing as mp
from tiny_heads import ASSIGNERS, batch, boxes_of, features, tiny_head
from torch.nn.parallel import DistributedDataParallel


class HeadLoss(torch.nn.Module):
    """The trained loss of a head as the output of a module, as DDP wants it."""

    def __init__(self, assigner):
        super().__init__()
        self.head = tiny_head(assigner=assigner)

    def forward(self, truths, metas):
        losses = self.head.loss_by_feat(*self.head(features()), truths, metas)
        return losses['loss_cls'] + losses['loss_bbox']


def gradients_in_group(rank, folder):
    torch.set_num_threads(1)
    store = f'file://{folder}/store'
    torch.distributed.init_process_group('gloo', store, rank=rank, world_size=2)
    found = {}
    for name, assigner in ASSIGNERS.items():
        # without find_unused_parameters a parameter without gradient is an error in the next step
        model = DistributedDataParallel(HeadLoss(assigner))
        truths, metas = batch()
        for _ in range(2):
            model.zero_grad()
            model(truths if rank == 0 else [boxes_of(), boxes_of()], metas).backward()
        found[name] = {key: value.grad for key, value in model.module.head.named_parameters()}
    torch.save(found, f'{folder}/{rank}.pt')
    # Gloo's threads need the interpreter lock to drop the work of backward; destroying the group
    # while they wait for it would wait for ever.
    torch.distributed.barrier()
    time.sleep(0.5)
    torch.distributed.destroy_process_group()


@pytest.fixture(scope='module')
def gradients(tmp_path_factory):
    folder = tmp_path_factory.mktemp('ddp')
    mp.spawn(gradients_in_group, (str(folder),), nprocs=2)
    return [torch.load(folder / f'{rank}.pt', weights_only=True) for rank in (0, 1)]


@pytest.mark.parametrize('assigner', ASSIGNERS)
def test_a_process_without_boxes_holds_up_no_other(gradients, assigner):
    model = HeadLoss(ASSIGNERS[assigner])
    model(*batch()).backward()
    half = {name: value.grad / 2 for name, value in model.head.named_parameters()}
    for found in gradients:
        torch.testing.assert_close(found[assigner], half)
