"""Time the ranking losses against other ways to rank and against focal loss.

Contestants: the package's losses with their usual steps ("AP hard" with delta 0); a loop over the
positives; all pairs in one matrix; bucketing (sort all logits, replace the negatives between two
positives by their mean: exact only for delta 0), also with only the relevant negatives sorted; one
sort of all logits, the least that a method based on sorting needs; sigmoid focal loss.

Every time is a median over repeats of forward and backward; the contestants take turns inside
each repeat, so that a busy machine slows all of them alike. Read the ratios, not the times:
"/ focal" is the time over that of focal loss, "/ ours" that of another way to rank over our loss
in the same row's brackets (of a sort: over aLRP), "growth" the time over that at the size before.

Memory is what tensors of one call hold at its peak, above its input. On CUDA the table also says
how long the device works in a call ("time" is the wall's), how many kernels a call launches and how
often the host waits for the device; a focal loss of two fused kernels stands beside the others.

Scores are those of a training's first steps, where nearly all negatives crowd between the ends of
all positives' steps, and spread out; `--states` chooses, `trained` among them.

Relevant negatives are those that some positive's step reaches; `--recorded FILE` times sizes and
scores of a real training run, which record_rankings.py writes.
"""

from __future__ import annotations

import argparse
import datetime
import os
import statistics
import sys
import time
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

if find_spec('mmdet_alrp') is None:  # not installed: the package lies two folders up
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

# Read when torch is imported: some builds print two lines for every profile.
os.environ.setdefault('KINETO_LOG_LEVEL', '6')

try:
    import torch
    from call_costs import costs_of
    from figures import count, milliseconds, name_machine, new_file, write_json_or_exit
    from ranking_contestants import (
        OURS,
        RIVALS,
        STATES,
        Contestant,
        choose_contestants,
        make_batch,
        num_relevant,
    )
    from recorded_rankings import draw_batch, read_records, typical

    from mmdet_alrp.command_line import OneLineParser
except ImportError as misfit:  # the package says which version does not fit, and what to do
    print(f'ranking_losses.py: error: {" ".join(str(misfit).split())}', file=sys.stderr)
    sys.exit(2)

DEFAULT_SIZES = {10**5: 300, 10**6: 1000, 4 * 10**6: 1500, 16 * 10**6: 2500}
LOOP = 'loop (aLRP)'
FOCALS = ('focal', 'focal (fused)', 'focal (mmcv)')
MATRIX = 'full matrix (aLRP)'
LOOP_REPEATS = 3  # the loop takes seconds, and its median settles early


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line of the benchmark, with one number of positives a size."""
    parser = OneLineParser(
        description=__doc__,
        prog='ranking_losses.py',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--sizes', type=count, nargs='+', help='numbers of logits')
    parser.add_argument(
        '--positives',
        type=count,
        nargs='+',
        help='as many as there are sizes, or one for all (default: 300 1000 1500 2500)',
    )
    parser.add_argument(
        '--recorded', type=Path, metavar='FILE', help='sizes and scores of a training run instead'
    )
    parser.add_argument(
        '--states',
        nargs='+',
        choices=STATES,
        default=['first', 'spread'],
        help='scores of the first steps, spread out, of a trained detector (default: first spread)',
    )
    parser.add_argument('--device', default='cpu', help='cpu, cuda or cuda:N')
    parser.add_argument('--repeat', type=count, default=7)
    parser.add_argument('--threads', type=count, help='CPU threads of PyTorch')
    parser.add_argument(
        '--loop-limit',
        type=count,
        help='leave the loop out where logits x positives is above this (4e9, on a GPU 1e11)',
    )
    parser.add_argument(
        '--matrix-limit',
        type=count,
        default=2 * 10**8,
        help='leave the matrix out where relevant negatives x positives is above this',
    )
    parser.add_argument('--json', type=new_file, metavar='FILE', help='write all figures')
    args = parser.parse_args(argv)
    args.records = choose_records(parser, args)
    args.device = usable_device(parser, args.device)
    if args.loop_limit is None:
        args.loop_limit = 4 * 10**9 if args.device.type == 'cpu' else 10**11
    return args


def choose_records(parser: OneLineParser, args: argparse.Namespace) -> list[dict]:
    """What to time: recorded rankings, or sizes without any scores."""
    if args.recorded is not None:
        if args.sizes is not None or args.positives is not None:
            parser.error('--recorded brings its own sizes: leave out --sizes and --positives')
        try:
            return typical(read_records(args.recorded))
        except ValueError as reason:
            parser.error(f'--recorded: {reason}')
    sizes = args.sizes or list(DEFAULT_SIZES)
    positives = args.positives or list(DEFAULT_SIZES.values())
    if args.positives is None and len(sizes) != len(positives):
        parser.error(f'--positives is needed with {len(sizes)} --sizes')
    if len(positives) == 1:
        positives *= len(sizes)
    if len(positives) != len(sizes):
        parser.error(
            f'--positives needs one number, or {len(sizes)} as --sizes, got {len(positives)}'
        )
    for size, num_pos in zip(sizes, positives, strict=True):
        if num_pos > size:
            parser.error(f'{num_pos} positives do not fit into {size} logits')
    return [
        {'state': state, 'logits': size, 'positives': num_pos}
        for state in args.states
        for size, num_pos in zip(sizes, positives, strict=True)
    ]


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


def time_size(record: dict, args: argparse.Namespace) -> dict:
    """Sizes of a ranking, and the median seconds and other costs of every contestant on it."""
    if 'epoch' in record:
        batch = draw_batch(record, args.device)
    else:
        sizes = (record['logits'], record['positives'])
        batch = make_batch(*sizes, args.device, state=record['state'])
    size, num_pos = len(batch[0]), len(batch[2])
    relevant = num_relevant(*batch[:2])
    contestants = choose_contestants(args.device)
    if size * num_pos > args.loop_limit:
        print(f'note: no loop at {size:,} logits x {num_pos:,} positives (see --loop-limit)')
        del contestants[LOOP]
    if relevant * num_pos > args.matrix_limit:
        print(
            f'note: no full matrix of {relevant:,} relevant negatives x {num_pos:,} positives '
            '(see --matrix-limit)'
        )
        del contestants[MATRIX]
    figures: dict[str, dict] = {}
    for name, contestant in contestants.items():  # warms up too: allocator, kernels, clocks
        figures[name] = costs_of(partial(contestant, *batch), args.device)._asdict()
    samples: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(args.repeat):
        for name, contestant in contestants.items():
            if name != LOOP or turn < LOOP_REPEATS:
                samples[name].append(seconds_of(contestant, batch, args.device))
    for name, times in samples.items():
        figures[name]['seconds'] = statistics.median(times)
    place = {key: record[key] for key in ('state', 'epoch', 'loss') if key in record}
    sizes = {'logits': size, 'positives': num_pos, 'relevant': relevant}
    return {**place, **sizes, 'contestants': figures}


def ratio(figures: dict[str, dict], top: str, bottom: str | None) -> str:
    """Time of ``top`` over that of ``bottom``, or a dash where there is none to compare."""
    if bottom is None or bottom not in figures:
        return '-'
    return f'{figures[top]["seconds"] / figures[bottom]["seconds"]:.3g}'


def growth(rows: list[dict], place: int, name: str) -> str:
    """Time of a contestant over that at the size before, or a dash where there is none."""
    before = None
    if place and rows[place - 1].get('state') == rows[place].get('state'):
        before = rows[place - 1]['contestants'].get(name)
    if before is None:
        return '-'
    return f'{rows[place]["contestants"][name]["seconds"] / before["seconds"]:.3g}'


def table(rows: list[dict]) -> str:
    """Markdown table: one line a size and contestant, ours first."""
    figures = rows[0]['contestants']
    focals = [name for name in FOCALS if name in figures]
    counted = any(costs['kernels'] is not None for costs in figures.values())
    marks = [key for key in ('state', 'epoch', 'loss') if key in rows[0]]
    head = ['logits', 'positives', 'relevant', 'contestant', 'time [ms]']
    head += [*(f'/ {name}' for name in focals), '/ ours', 'growth', 'memory [MiB]']
    head += ['GPU [ms]', 'kernels', 'waits'] if counted else []
    rule = ['---:'] * len(head)
    rule[3] = ':---'
    head, rule = [*marks, *head], [*[':---'] * len(marks), *rule]
    lines = ['| ' + ' | '.join(head) + ' |', '| ' + ' | '.join(rule) + ' |']
    for index, row in enumerate(rows):
        figures = row['contestants']
        place = [str(row[name]) for name in marks]
        place += [f'{row[name]:,}' for name in ('logits', 'positives', 'relevant')]
        for name in sorted(figures, key=lambda name: name not in OURS):
            costs = figures[name]
            cells = [*place, name, milliseconds(costs['seconds'])]
            cells += [ratio(figures, name, other) for other in focals]
            cells += [ratio(figures, name, RIVALS.get(name)), growth(rows, index, name)]
            cells += [f'{costs["peak_bytes"] / 2**20:,.1f}']
            if counted:
                cells += [milliseconds(costs['gpu_seconds'], digits=2)]
                cells += [str(costs['kernels']), str(costs['waits'])]
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
    rows = [time_size(record, args) for record in args.records]
    print(
        '{machine} ({device}), PyTorch {torch}, {threads} threads, '
        'median of {repeat}, {date}\n'.format(**setting)
    )
    print(table(rows))
    if args.json:
        write_json_or_exit('ranking_losses.py', args.json, {**setting, 'sizes': rows})


if __name__ == '__main__':
    main()
