"""Time what a ranking over all processes, or one an image, costs beside one a process.

Gloo processes on this machine's CPU rank a batch each, with one ranking a process and with one
over all; the two take turns, each time the slowest process counts, and the figure is the fastest of
the repeats, which other work on the machine disturbs least. Likewise in one process with one
ranking an image. Forward and backward; read the ratios.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import _find_package  # noqa: F401 - first
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from frame import BenchmarkParser, count, markdown, milliseconds, publish, set_threads
from ranking_contestants import make_batch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mmdet_alrp.evaluation.json_files import write_json
from mmdet_alrp.ranking import alrp_loss, average_precision_loss, ndcg_loss, rank_sort_loss

Batch = tuple[Tensor, Tensor, Tensor]
LOSSES: dict[str, Callable[..., Tensor]] = {
    'aLRP': lambda s, t, e, **options: sum(alrp_loss(s, t, e, **options)),
    'AP': lambda s, t, e, **options: average_precision_loss(s, t, **options),
    'NDCG': lambda s, t, e, **options: ndcg_loss(s, t, **options),
    'RS': lambda s, t, e, **options: sum(rank_sort_loss(s, t, 1 - e / 2, **options)),
}


class Traffic(TorchDispatchMode):
    """Count the collectives that run inside, and the bytes this process hands to them."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.bytes = 0

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Sequence[type],
        args: tuple = (),
        kwargs: dict | None = None,
    ) -> object:
        """Note the tensors of a collective and run it."""
        if func.namespace == 'c10d' and 'barrier' not in func.name():
            # The last list of tensors is what goes in; a gather has one before it for the result.
            handed = [part for part in args if isinstance(part, list | tuple)][-1]
            self.calls += 1
            self.bytes += sum(part.numel() * part.element_size() for part in handed)
        return func(*args, **(kwargs or {}))


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line of the benchmark."""
    parser = BenchmarkParser('global_ranking.py', __doc__)
    parser.add_argument('--logits', type=count, default=10**6, help='of each process')
    parser.add_argument('--positives', type=count, default=1000, help='of each process')
    parser.add_argument('--processes', type=count, nargs='+', default=[2, 4])
    parser.add_argument('--images', type=count, default=8, help='of one process')
    args = parser.parse(argv)
    args.threads = args.threads or 1
    if args.positives > args.logits:
        parser.error(f'{args.positives} positives do not fit into {args.logits} logits')
    if args.images > args.logits:
        parser.error(f'{args.images} images are more than {args.logits} logits')
    if min(args.processes) < 2:
        parser.error('--processes must be 2 or more: one process has nobody to rank with')
    return args


def step(name: str, batch: Batch, **options: object) -> Tensor:
    """Forward and backward of one loss."""
    logits, targets, loc_errors = batch
    loss = LOSSES[name](logits, targets, loc_errors, **options)
    return torch.autograd.grad(loss, logits)[0]


def take_turns(runs: dict[str, Callable[[], object]], repeat: int) -> dict[str, list[float]]:
    """Seconds of every repeat of every run; in a group, all processes start together."""
    seconds: dict[str, list[float]] = {key: [] for key in runs}
    for turn in range(repeat + 1):
        for key, run in runs.items():
            if dist.is_initialized():
                dist.barrier()
            start = time.perf_counter()
            run()
            if turn:  # the first one warms up
                seconds[key].append(time.perf_counter() - start)
    return seconds


def images_row(name: str, args: argparse.Namespace) -> dict:
    """Figures of one ranking an image in one process."""
    batch = make_batch(args.logits, args.positives, torch.device('cpu'))
    images = torch.arange(args.logits) * args.images // args.logits
    runs = {
        'process_seconds': partial(step, name, batch),
        'scope_seconds': partial(step, name, batch, images=images, num_images=args.images),
    }
    times = {key: min(samples) for key, samples in take_turns(runs, args.repeat).items()}
    return {'loss': name, 'scope': 'image', 'processes': 1, **times, 'collectives': 0, 'bytes': 0}


def work_in_group(rank: int, world_size: int, folder: str, args: argparse.Namespace) -> None:
    """Time all losses as one of the processes; the first one writes the figures."""
    torch.set_num_threads(args.threads)
    store = f'file://{folder}/store'
    dist.init_process_group('gloo', store, rank=rank, world_size=world_size)
    batch = make_batch(args.logits, args.positives, torch.device('cpu'), seed=rank)
    rows = []
    for name in LOSSES:
        runs = {
            'process_seconds': partial(step, name, batch),
            'scope_seconds': partial(step, name, batch, group=True),
        }
        times = {}
        for key, samples in take_turns(runs, args.repeat).items():
            slowest = torch.tensor(samples, dtype=torch.float64)
            dist.all_reduce(slowest, dist.ReduceOp.MAX)
            times[key] = slowest.min().item()
        with Traffic() as traffic:
            step(name, batch, group=True)
        row = {'loss': name, 'scope': 'global', 'processes': world_size, **times}
        rows.append({**row, 'collectives': traffic.calls, 'bytes': traffic.bytes})
    if rank == 0:
        write_json(Path(folder) / 'rows.json', {'rows': rows})
    # Gloo's threads must be done with the last collective before the group goes.
    dist.barrier()
    time.sleep(0.5)
    dist.destroy_process_group()


def group_rows(world_size: int, args: argparse.Namespace) -> list[dict]:
    """Figures of all losses over ``world_size`` processes."""
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(work_in_group, (world_size, folder, args), world_size)
        return json.loads((Path(folder) / 'rows.json').read_text(encoding='utf-8'))['rows']


def table(rows: list[dict], num_logits: int) -> str:
    """Markdown table: times of one ranking a process and of the other scope, then the traffic."""
    head = ['loss', 'scope', 'processes', "'process' [ms]", 'scope [ms]', "scope / 'process'"]
    head += ['collectives', 'sent a process [kB]', 'of its logits']
    lines = []
    for row in rows:
        cells = [row['loss'], row['scope'], row['processes']]
        cells += [milliseconds(row['process_seconds']), milliseconds(row['scope_seconds'])]
        cells += [f'{row["scope_seconds"] / row["process_seconds"]:.2f}', row['collectives']]
        cells += [f'{row["bytes"] / 1000:,.1f}', f'{100 * row["bytes"] / (4 * num_logits):.3g} %']
        lines.append(cells)
    return markdown(head, lines, left=2)


def main(argv: Sequence[str] | None = None) -> None:
    """Time everything and print one table."""
    args = parse_args(argv)
    setting = set_threads(args, 'logits', 'positives', 'images')
    rows = [images_row(name, args) for name in LOSSES]
    for world_size in args.processes:
        rows += group_rows(world_size, args)
    title = '{logits:,} logits and {positives:,} positives a process, {images} images for '
    title += "'image', fastest of {repeat}"
    publish(args, setting, title, table(rows, args.logits), rows=rows)


if __name__ == '__main__':
    main()
