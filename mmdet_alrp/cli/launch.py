"""Starts several processes' common work: CUDA with MMEngine's own code, the CPU with gloo."""

from __future__ import annotations

import logging
import os
import sys
import time

import torch
from mmengine.config import Config
from mmengine.device import get_device
from torch import distributed

from mmdet_alrp.command_line import UsageError

# Where each launcher says rank, number of processes and rank on this machine
RANK_VARIABLES = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': ('OMPI_COMM_WORLD_RANK', 'OMPI_COMM_WORLD_SIZE', 'OMPI_COMM_WORLD_LOCAL_RANK'),
}


def is_first_process() -> bool:
    """Whether this process is the one that speaks, judged before any process group exists."""
    ranks = (os.environ.get(names[0]) for names in RANK_VARIABLES.values())
    return next((rank for rank in ranks if rank is not None), '0') == '0'


def prepare_launch(cfg: Config) -> None:
    """Check the launcher's environment; on the CPU also join the processes.

    MMEngine selects a CUDA device before it creates the process group, and hands DDP a device
    index, neither of which exists on a CPU. With the group there already and the model wrapper in
    the config it does neither.

    Args:
        cfg: Config of the run with ``launcher`` set; changed in place on the CPU.

    Raises:
        UsageError: If the launcher did not start this process, or there is no device for it.
    """
    if cfg.launcher == 'none':
        return
    names = RANK_VARIABLES[cfg.launcher]
    missing = [name for name in names if name not in os.environ]
    if missing:
        starter = 'slurm_*.sh' if cfg.launcher == 'slurm' else 'dist_*.sh'
        raise UsageError(
            f'--launcher {cfg.launcher} needs {", ".join(missing)} in the environment: '
            f'start it with tools/{starter}, or leave --launcher out to use one process'
        )
    rank, world_size, local_rank = (int(os.environ[name]) for name in names)
    if torch.cuda.is_available() and local_rank >= torch.cuda.device_count():
        raise UsageError(
            f'{local_rank + 1} processes on this machine, but only {torch.cuda.device_count()} '
            'CUDA devices: start fewer processes'
        )
    if get_device() == 'cpu':
        _join_on_cpu(cfg, rank, world_size, local_rank)


def _join_on_cpu(cfg: Config, rank: int, world_size: int, local_rank: int) -> None:
    os.environ.setdefault('MASTER_ADDR', '127.0.0.1')
    os.environ.setdefault('MASTER_PORT', '29500')
    os.environ['LOCAL_RANK'] = str(local_rank)
    if not distributed.is_initialized():
        distributed.init_process_group('gloo', rank=rank, world_size=world_size)
    cfg.merge_from_dict({'env_cfg': {'dist_cfg': {'backend': 'gloo'}}})
    cfg.model_wrapper_cfg = {
        'type': 'MMDistributedDataParallel',
        'broadcast_buffers': False,
        'find_unused_parameters': cfg.get('find_unused_parameters', False),
        **(cfg.get('model_wrapper_cfg') or {}),
        'device_ids': None,
    }


def in_cpu_group() -> bool:
    """Say whether this process is one of several that work together on the CPU."""
    return (
        distributed.is_available()
        and distributed.is_initialized()
        and distributed.get_backend() == 'gloo'
    )


def finish_launch(status: int) -> None:
    """End this process if it is one of several on the CPU; otherwise only leave the group.

    Gloo's threads may still be dropping the work of the last backward pass. An ordinary exit pulls
    the interpreter from under them, which ends in an abort or a deadlock now and then. All files
    are written by now, so the process ends at once, together with the others.

    Args:
        status: Exit status of the process; after 0 it waits for the others.
    """
    if not in_cpu_group():
        if distributed.is_available() and distributed.is_initialized():
            distributed.destroy_process_group()
        return
    if status == 0:
        distributed.barrier()
        time.sleep(0.5)  # the answer to the barrier has to reach the others too
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
