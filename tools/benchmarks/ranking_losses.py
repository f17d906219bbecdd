"""Time the ranking losses against other ways to rank and against focal loss.

Contestants: the package's losses with their usual steps ("AP hard" with delta 0); a loop over the
positives; bucketing (sort all logits, replace the negatives between two positives by their mean:
exact only for delta 0); one sort of all logits, the least that a method based on sorting needs;
sigmoid focal loss.

Every time is a median over repeats of forward and backward; the contestants take turns inside
each repeat, so that a busy machine slows all of them alike. Read the ratios, not the times:
"/ focal" is the time over that of focal loss, "/ ours" that of another way to rank over our loss
in the same row's brackets (of a sort: over aLRP).

Memory is what tensors of one call hold at its peak, above its input. On CUDA the table also says
how long the device works in a call ("time" is the wall's), how many kernels a call launches and how
often the host waits for the device; a focal loss of two fused kernels stands beside the others.

Scores are those of a training's first steps, where nearly all negatives crowd between the ends of
all positives' steps, and spread out; `--states` chooses, `trained` among them. Relevant negatives
are those that some positive's step reaches.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial

import _find_package  # noqa: F401 - first
from frame import (
    BenchmarkParser,
    costs_in_turns,
    count,
    markdown,
    milliseconds,
    publish,
    ratio,
    set_threads,
)
from ranking_contestants import (
    OURS,
    RIVALS,
    STATES,
    choose_contestants,
    make_batch,
    num_relevant,
)

DEFAULT_SIZES = {10**5: 300, 10**6: 1000, 4 * 10**6: 1500, 16 * 10**6: 2500}
LOOP = 'loop (aLRP)'
FOCALS = ('focal', 'focal (fused)')


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line of the benchmark, with one number of positives a size."""
    parser = BenchmarkParser('ranking_losses.py', __doc__)
    parser.add_argument('--sizes', type=count, nargs='+', help='numbers of logits')
    parser.add_argument(
        '--positives',
        type=count,
        nargs='+',
        help='as many as there are sizes, or one for all (default: 300 1000 1500 2500)',
    )
    parser.add_argument(
        '--states',
        nargs='+',
        choices=STATES,
        default=['first', 'spread'],
        help='scores of the first steps, spread out, of a trained detector (default: first spread)',
    )
    parser.add_argument(
        '--loop-limit',
        type=count,
        help='leave the loop out where logits x positives is above this (4e9, on a GPU 1e11)',
    )
    args = parser.parse(argv)
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
    args.pairs = list(zip(sizes, positives, strict=True))
    for size, num_pos in args.pairs:
        if num_pos > size:
            parser.error(f'{num_pos} positives do not fit into {size} logits')
    if args.loop_limit is None:
        args.loop_limit = 4 * 10**9 if args.device.type == 'cpu' else 10**11
    return args


def time_size(state: str, size: int, num_pos: int, args: argparse.Namespace) -> dict:
    """Sizes of a ranking, and the median seconds and other costs of every contestant on it."""
    batch = make_batch(size, num_pos, args.device, state=state)
    contestants = choose_contestants(args.device)
    if size * num_pos > args.loop_limit:
        print(f'note: no loop at {size:,} logits x {num_pos:,} positives (see --loop-limit)')
        del contestants[LOOP]
    calls = {name: partial(contestant, *batch) for name, contestant in contestants.items()}
    sizes = {'logits': size, 'positives': num_pos, 'relevant': num_relevant(*batch[:2])}
    figures = costs_in_turns(calls, args.device, args.repeat, few=LOOP)
    return {'state': state, **sizes, 'contestants': figures}


def table(rows: list[dict]) -> str:
    """Markdown table: one line a size and contestant, ours first."""
    figures = rows[0]['contestants']
    focals = [name for name in FOCALS if name in figures]
    counted = any(costs['kernels'] is not None for costs in figures.values())
    head = ['state', 'contestant', 'logits', 'positives', 'relevant', 'time [ms]']
    head += [*(f'/ {name}' for name in focals), '/ ours', 'memory [MiB]']
    head += ['GPU [ms]', 'kernels', 'waits'] if counted else []
    lines = []
    for row in rows:
        figures = row['contestants']
        sizes = [f'{row[name]:,}' for name in ('logits', 'positives', 'relevant')]
        for name in sorted(figures, key=lambda name: name not in OURS):
            costs = figures[name]
            cells = [row['state'], name, *sizes, milliseconds(costs['seconds'])]
            cells += [ratio(figures, name, other) for other in (*focals, RIVALS.get(name))]
            cells += [f'{costs["peak_bytes"] / 2**20:,.1f}']
            if counted:
                cells += [milliseconds(costs['gpu_seconds'], digits=2)]
                cells += [costs['kernels'], costs['waits']]
            lines.append(cells)
    return markdown(head, lines, left=2)


def main(argv: Sequence[str] | None = None) -> None:
    """Time all sizes and print one table."""
    args = parse_args(argv)
    setting = set_threads(args)
    rows = [time_size(state, *pair, args) for state in args.states for pair in args.pairs]
    publish(args, setting, 'median of {repeat}', table(rows), sizes=rows)


if __name__ == '__main__':
    main()
