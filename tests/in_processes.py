"""Functions in several gloo processes, and programs in one, without what imports cost."""

import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from fresh_python import be_python

LIMIT = 150  # seconds; a run takes less than 20, and one that hangs must not stop the suite
# What most workers need is imported once, by a server that all processes are forked from. It has
# run nothing, so that, unlike a fork of the tests, they begin with no threads and no state.
IMPORTED = ['mmdet_alrp', 'mmdet.models', 'mmdet.evaluation', 'torchvision']


def start_processes(
    worker: Callable, arguments: tuple, count: int, join: bool = True
) -> mp.ProcessContext | None:
    """Start ``worker(rank, *arguments)`` in several processes; ``join`` waits for their end."""
    multiprocessing.set_forkserver_preload(IMPORTED)
    return mp.start_processes(worker, arguments, count, join, start_method='forkserver')


def enter_group(
    rank: int, worker: Callable, world_size: int, folder: str, environment: dict[str, str]
) -> None:
    os.environ.update(environment)  # the server's is that of the first start
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        'gloo',
        f'file://{folder}/store',
        rank=rank,
        world_size=world_size,
        timeout=timedelta(seconds=LIMIT),
    )
    torch.save(worker(rank, world_size), f'{folder}/{rank}.pt')
    # Gloo's threads need the interpreter lock to drop the work of backward; destroying the group
    # while they wait for it would wait for ever.
    torch.distributed.barrier()
    time.sleep(0.5)
    torch.distributed.destroy_process_group()


def run_in_processes(worker: Callable, world_size: int, folder: Path) -> list:
    """Results of ``worker(rank, world_size)``, a function of a module, one a process."""
    arguments = (worker, world_size, str(folder), dict(os.environ))
    running = start_processes(enter_group, arguments, world_size, join=False)
    end = time.monotonic() + LIMIT
    while not running.join(timeout=1):
        if time.monotonic() > end:
            for process in running.processes:
                process.kill()
            pytest.fail(f'{world_size} processes have not come to an end in {LIMIT} s')
    return [torch.load(folder / f'{rank}.pt', weights_only=True) for rank in range(world_size)]


def start_program(
    path: Path, words: Sequence[object], folder: Path, **environment: str
) -> multiprocessing.Process:
    """Start a Python file as a program in ``folder``; its output goes to files beside it."""
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(IMPORTED)
    texts = [str(path), *map(str, words)]
    own = {**os.environ, 'CUDA_VISIBLE_DEVICES': '-1', 'OMP_NUM_THREADS': '1', **environment}
    process = context.Process(target=be_program, args=(texts, str(folder), own))
    process.start()
    return process


def wait_for(process: multiprocessing.Process, seconds: float) -> None:
    """Wait for the end of a program; fail, and leave nothing running, where there is none."""
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        pytest.fail(f'process {process.pid} has not come to an end in {seconds} s')


def be_program(words: list[str], folder: str, environment: dict[str, str]) -> None:
    from runs_of_mmengine import quicken_mmengine

    quicken_mmengine()
    torch.set_num_threads(1)
    paths = [output_file(folder, name, os.getpid()) for name in ('stdout', 'stderr')]
    files = [os.open(path, os.O_WRONLY | os.O_CREAT) for path in paths]
    be_python(words, folder, environment, files)


def output_file(folder: str | Path, name: str, pid: int) -> Path:
    """Where a program writes its output: beside its folder, which may be looked through."""
    return Path(folder).parent / f'.{name}-{pid}'
