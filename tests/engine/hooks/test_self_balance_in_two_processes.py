import os
import time
from unittest.mock import Mock

import pytest
import torch
from balanced_runs import BalancedModel, build_runner, ratios_by_hand, ratios_of
from in_processes import start_processes

from mmdet_alrp.engine.hooks import SelfBalanceHook
from mmdet_alrp.guards.checkpoint_safety import load_safely

WRAPPER = {'type': 'MMDistributedDataParallel', 'device_ids': None}
ITERATIONS = {'by_epoch': False, 'max_iters': 4}


def train_in_group(rank, folder):
    """Train by epochs and by iterations, two processes with different losses."""
    os.environ.update(LOCAL_RANK=str(rank), CUDA_VISIBLE_DEVICES='-1')
    torch.set_num_threads(1)
    store = f'file://{folder}/store'
    torch.distributed.init_process_group('gloo', store, rank=rank, world_size=2)
    wrapper = {**WRAPPER, 'broadcast_buffers': False}
    options = {'launcher': 'pytorch', 'cfg': {'model_wrapper_cfg': wrapper}}
    found = {}
    for name, train_cfg in [('epochs', {'by_epoch': True, 'max_epochs': 2}), ('pass', ITERATIONS)]:
        runner, recorder = build_runner(f'{folder}/{name}', train_cfg, **options)
        runner.train()
        found[name] = (recorder.steps, recorder.ratios, ratios_of(runner))
        found[f'{name} wrapped'] = type(runner.model).__name__
    hook = SelfBalanceHook()
    found['error'] = ''
    model = torch.nn.parallel.DistributedDataParallel(BalancedModel())
    try:
        hook.before_train(Mock(model=model))
    except ValueError as error:
        found['error'] = str(error)
    torch.save(found, f'{folder}/{rank}.pt')
    # Gloo's threads need the interpreter lock to drop the work of backward; destroying the group
    # while they wait for it would wait for ever.
    torch.distributed.barrier()
    time.sleep(0.5)
    torch.distributed.destroy_process_group()


@pytest.fixture(scope='module')
def two_processes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('two')
    start_processes(train_in_group, (str(folder),), 2)
    found = [torch.load(folder / f'{rank}.pt', weights_only=True) for rank in (0, 1)]
    return folder, found


@pytest.mark.parametrize('name', ['epochs', 'pass'])
def test_every_process_gets_the_ratio_of_all_losses(two_processes, name):
    _, found = two_processes
    steps, ratios, last = zip(*(part[name] for part in found), strict=True)
    assert found[0][f'{name} wrapped'] == 'MMDistributedDataParallel'
    # 12 items, 3 to a batch and process: a pass takes two steps
    first = [*steps[0][:2], *steps[1][:2]]
    assert ratios_by_hand(steps[0][:2]) != pytest.approx(ratios_by_hand(steps[1][:2]), rel=1e-3)
    assert ratios[0][:2] == ratios[1][:2] == [[50.0, 20.0]] * 2
    assert ratios[0][2] == ratios[1][2] == pytest.approx(ratios_by_hand(first), rel=1e-5)
    second = [*steps[0][2:], *steps[1][2:]]
    assert len(second) == 4
    assert last[0] == last[1] == pytest.approx(ratios_by_hand(second), rel=1e-5)


def test_checkpoint_of_the_epoch_has_the_common_ratio(two_processes):
    folder, found = two_processes
    state = load_safely(folder / 'epochs' / 'epoch_1.pth')['state_dict']
    assert state['rpn.balance.ratio'].item() == found[1]['epochs'][1][2][0]


def test_broadcast_buffers_are_refused(two_processes):
    _, found = two_processes
    for part in found:
        assert 'model_wrapper_cfg must have broadcast_buffers=False' in part['error']
