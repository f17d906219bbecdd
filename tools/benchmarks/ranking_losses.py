"""Time the ranking losses against a loop over positives, a full sort and focal loss.

Every figure is a median over repeats of forward and backward; the contestants take turns inside
each repeat, so that a busy machine slows all of them alike. Read the ratios, not the times.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

if find_spec('mmdet_alrp') is None:  # not installed: the package lies two folders up
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

try:
    import torch
    from figures import count, milliseconds, name_machine, new_file, write_json
    from ranking_contestants import Contestant, choose_contestants, make_batch

    from mmdet_alrp.command_line import OneLineParser
except ImportError as misfit:  # the package says which version does not fit, and what to do
    print(f'ranking_losses.py: error: {" ".join(str(misfit).split())}', file=sys.stderr)
    sys.exit(2)

OURS = ('aLRP', 'AP', 'AP plain', 'NDCG', 'RS')
LOOP_REPEATS = 3  # the loop takes seconds, and its median settles early


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line of the benchmark, with one number of positives a size."""
    parser = OneLineParser(description=__doc__, prog='ranking_losses.py')
    parser.add_argument(
        '--sizes', type=count, nargs='+', default=[10**5, 10**6, 4 * 10**6, 16 * 10**6]
    )
    parser.add_argument(
        '--positives',
        type=count,
        nargs='+',
        help='as many as there are sizes, or one for all (default: 300 1000 1500 2500)',
    )
    parser.add_argument('--device', default='cpu', help='cpu, cuda or cuda:N')
    parser.add_argument('--repeat', type=count, default=7)
    parser.add_argument('--threads', type=count, help='CPU threads of PyTorch')
    parser.add_argument(
        '--loop-limit',
        type=count,
        default=4 * 10**9,
        help='leave the loop out where logits x positives is above this',
    )
    parser.add_argument('--json', type=new_file, metavar='FILE', help='write all figures')
    args = parser.parse_args(argv)
    default_positives = [300, 1000, 1500, 2500]
    if args.positives is None and len(args.sizes) != len(default_positives):
        parser.error(f'--positives is needed with {len(args.sizes)} --sizes')
    args.positives = args.positives or default_positives
    if len(args.positives) == 1:
        args.positives *= len(args.sizes)
    if len(args.positives) != len(args.sizes):
        parser.error(
            f'--positives needs one number, or {len(args.sizes)} as --sizes, '
            f'got {len(args.positives)}'
        )
    for size, num_pos in zip(args.sizes, args.positives, strict=True):
        if num_pos > size:
            parser.error(f'{num_pos} positives do not fit into {size} logits')
    args.device = usable_device(parser, args.device)
    return args


def usable_device(parser: OneLineParser, name: str) -> torch.device:
    """Turn the name into a device that can hold a tensor, or end with one line."""
    try:
        device = torch.device(name)
        if device.type in ('cpu', 'cuda'):
            torch.zeros(1, device=device)
            return device
    except (RuntimeError, AssertionError) as reason:
        parser.error(f'--device {name}: {str(reason).splitlines()[0]}')
    parser.error(f'--device must be cpu, cuda or cuda:N, got {name}')


def seconds_of(contestant: Contestant, batch: tuple, device: torch.device) -> float:
    """Wall time of one call, the device's queue emptied before and after."""
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    contestant(*batch)
    if device.type == 'cuda':
        torch.cuda.synchronize(device)
    return time.perf_counter() - start


def time_size(size: int, num_pos: int, args: argparse.Namespace) -> dict[str, float | int]:
    """Median seconds of every contestant on one size."""
    contestants = choose_contestants(args.device)
    if size * num_pos > args.loop_limit:
        print(f'note: no loop at {size:,} logits x {num_pos:,} positives (see --loop-limit)')
        del contestants['loop']
    batch = make_batch(size, num_pos, args.device)
    samples: dict[str, list[float]] = {name: [] for name in contestants}
    for name, contestant in contestants.items():  # warm up: allocator, kernels, clocks
        if name != 'loop':
            contestant(*batch)
    for turn in range(args.repeat):
        for name, contestant in contestants.items():
            if name != 'loop' or turn < LOOP_REPEATS:
                samples[name].append(seconds_of(contestant, batch, args.device))
    medians = {name: statistics.median(times) for name, times in samples.items()}
    return {'logits': size, 'positives': num_pos, **medians}


def ratio(row: dict, top: str, bottom: str) -> str:
    """``top / bottom`` of one row, or a dash where one of them did not run."""
    if top not in row or bottom not in row:
        return '-'
    return f'{row[top] / row[bottom]:.3g}'


def table(rows: list[dict]) -> str:
    """Markdown table: our times in ms, then the ratios."""
    focals = [name for name in ('focal', 'focal (mmcv)') if name in rows[0]]
    head = ['logits', 'positives', *(f'{name} [ms]' for name in OURS)]
    head += [f'{name} / {other}' for other in focals for name in OURS]
    head += ['sort / aLRP', 'loop / aLRP']
    lines = ['| ' + ' | '.join(head) + ' |', '|' + ' ---: |' * len(head)]
    for row in rows:
        cells = [f'{row["logits"]:,}', f'{row["positives"]:,}']
        cells += [milliseconds(row[name]) for name in OURS]
        cells += [ratio(row, name, other) for other in focals for name in OURS]
        cells += [ratio(row, other, 'aLRP') for other in ('sort', 'loop')]
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Time all sizes and print one table."""
    args = parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    setting = {
        'machine': name_machine(args.device),
        'device': str(args.device),
        'torch': torch.__version__,
        'threads': torch.get_num_threads(),
        'repeat': args.repeat,
        'date': datetime.date.today().isoformat(),
    }
    sizes = list(zip(args.sizes, args.positives, strict=True))
    rows = [time_size(size, num_pos, args) for size, num_pos in sizes]
    print(
        '{machine} ({device}), PyTorch {torch}, {threads} threads, '
        'median of {repeat}, {date}\n'.format(**setting)
    )
    print(table(rows))
    if args.json:
        try:
            write_json(args.json, {**setting, 'seconds': rows})
        except OSError as reason:
            print(f'ranking_losses.py: error: --json: {reason}', file=sys.stderr)
            sys.exit(2)


if __name__ == '__main__':
    main()
