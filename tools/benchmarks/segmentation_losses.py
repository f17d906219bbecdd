"""Time the segmentation losses against MMSegmentation's Lovasz loss and against cross entropy.

Every time is a median over repeats of forward and backward; the contestants take turns inside
each repeat, so that a busy machine slows all of them alike. Read the ratios, not the times:
"/ CE" is the time over that of (binary) cross entropy on the same input, "/ ours" that of
MMSegmentation's loss over our loss with the same options.

Losses of a foreground get one channel, the others --classes of them. The targets are blocks of
classes with one pixel in 20 ignored; --present says how many classes they hold. Memory is what
tensors of one call hold at its peak, above its input.
"""

from __future__ import annotations

import argparse
import datetime
import os
import statistics
import sys
from collections.abc import Callable, Sequence
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
    from ranking_losses import ratio, seconds_of, usable_device
    from torch import Tensor
    from torch.nn import functional

    from mmdet_alrp.command_line import OneLineParser
    from mmdet_alrp.segmentation import losses as ours
except ImportError as misfit:  # the package says which version does not fit, and what to do
    print(f'segmentation_losses.py: error: {" ".join(str(misfit).split())}', file=sys.stderr)
    sys.exit(2)

Loss = Callable[[Tensor, Tensor], Tensor]
CE, BCE = 'cross entropy', 'binary cross entropy'
IGNORED = 255
RIVALS = {
    'mmseg Lovasz (present)': 'Lovasz-Softmax (present)',
    'mmseg Lovasz (all)': 'Lovasz-Softmax (all)',
    'mmseg Lovasz (present, per image)': 'Lovasz-Softmax (present, per image)',
    'mmseg Lovasz (binary)': 'Lovasz hinge',
}


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line of the benchmark."""
    parser = OneLineParser(
        description=__doc__,
        prog='segmentation_losses.py',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--batch', type=count, default=2, help='images')
    parser.add_argument('--classes', type=count, default=21)
    parser.add_argument('--size', type=count, default=512, help='height and width, in pixels')
    parser.add_argument(
        '--present',
        type=count,
        nargs='+',
        help='classes that the targets hold (default: a quarter of them, and all)',
    )
    parser.add_argument('--device', default='cpu', help='cpu, cuda or cuda:N')
    parser.add_argument('--repeat', type=count, default=7)
    parser.add_argument('--threads', type=count, help='CPU threads of PyTorch')
    parser.add_argument('--json', type=new_file, metavar='FILE', help='write all figures')
    args = parser.parse_args(argv)
    if args.classes < 2 or args.classes > IGNORED:
        parser.error(f'--classes must be from 2 to {IGNORED}, got {args.classes}')
    args.present = args.present or [max(args.classes // 4, 1), args.classes]
    for present in args.present:
        if present > args.classes:
            parser.error(f'--present {present} is more than the {args.classes} --classes')
    args.device = usable_device(parser, args.device)
    return args


def make_batch(args: argparse.Namespace, channels: int, present: int) -> tuple[Tensor, Tensor]:
    """Logits of a half-trained net, (N, channels, H, W), and their targets, (N, H, W)."""
    generator = torch.Generator().manual_seed(0)
    edge = -(-args.size // 16)
    cells = torch.randint(present, (args.batch, edge, edge), generator=generator)
    # Every class has a cell, however few cells there are of each.
    cells.flatten()[: min(present, cells.numel())] = torch.arange(min(present, cells.numel()))
    targets = cells.repeat_interleave(16, 1).repeat_interleave(16, 2)
    targets = targets[:, : args.size, : args.size].contiguous()
    shape = (args.batch, channels, args.size, args.size)
    logits = torch.randn(shape, generator=generator)
    if channels == 1:
        logits += 2.0 * targets[:, None] - 1
    else:
        logits.scatter_add_(1, targets[:, None], torch.full(shape, 2.0)[:, :1])
    targets[torch.rand(targets.shape, generator=generator) < 0.05] = IGNORED
    return logits.to(args.device), targets.to(args.device)


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over the pixels that are not ignored."""
    valid = (targets != IGNORED).to(logits.dtype)
    entropies = functional.binary_cross_entropy_with_logits(
        logits[:, 0], targets.clamp(max=1).to(logits.dtype), valid, reduction='sum'
    )
    return entropies / valid.sum()


def multi_class_losses() -> dict[str, Loss]:
    """Cross entropy, the package's losses of many classes and MMSegmentation's, if it is there."""
    lovasz = ours.LovaszSoftmaxLoss
    found = {
        CE: partial(functional.cross_entropy, ignore_index=IGNORED),
        'Lovasz-Softmax (present)': lovasz(),
        'Lovasz-Softmax (all)': lovasz(classes='all'),
        'Lovasz-Softmax (present, per image)': lovasz(per_image=True),
        'Auto Seg-Loss (mIoU)': ours.AutoSegLoss('mIoU'),
        'Auto Seg-Loss (mIoU + BIoU)': ours.AutoSegLoss({'mIoU': 1.0, 'BIoU': 1.0}),
        'Auto Seg-Loss (mIoU + BF1)': ours.AutoSegLoss({'mIoU': 1.0, 'BF1': 1.0}),
    }
    theirs = mmseg_lovasz()
    if theirs is not None:
        found['mmseg Lovasz (present)'] = theirs(reduction='none')
        found['mmseg Lovasz (all)'] = theirs(reduction='none', classes='all')
        found['mmseg Lovasz (present, per image)'] = theirs(per_image=True)
    return found


def foreground_losses() -> dict[str, Loss]:
    """Binary cross entropy, the package's losses of a foreground and MMSegmentation's."""
    found = {
        BCE: binary_cross_entropy,
        'F-measure': ours.FMeasureLoss(),
        'structure': ours.StructureLoss(),
        'Lovasz hinge': ours.LovaszHingeLoss(),
    }
    theirs = mmseg_lovasz()
    if theirs is not None:
        found['mmseg Lovasz (binary)'] = theirs(loss_type='binary', reduction='none')
    return found


def mmseg_lovasz() -> type | None:
    """MMSegmentation's loss, None where it is not installed."""
    try:
        from mmseg.models.losses import LovaszLoss
    except ImportError:
        return None
    return LovaszLoss


def forward_backward(loss: Loss, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Value of a loss and its gradient on the logits."""
    moving = logits.detach().requires_grad_()
    keywords = {'ignore_index': IGNORED} if isinstance(loss, torch.nn.Module) else {}
    value = loss(moving, targets, **keywords)
    value.backward()
    return value.detach(), moving.grad


def measure(
    losses: dict[str, Loss], batch: tuple[Tensor, Tensor], args: argparse.Namespace
) -> dict[str, dict]:
    """Median seconds and peak memory of each loss on one batch."""
    calls = {name: partial(forward_backward, loss, *batch) for name, loss in losses.items()}
    figures: dict[str, dict] = {}
    for name, call in calls.items():  # warms up too: allocator, kernels, clocks
        figures[name] = {**costs_of(call, args.device)._asdict(), 'value': call()[0].item()}
    samples: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(args.repeat):
        for name, call in calls.items():
            samples[name].append(seconds_of(call, (), args.device))
    for name, times in samples.items():
        figures[name]['seconds'] = statistics.median(times)
        figures[name]['all_seconds'] = times
    return figures


def table(rows: list[dict]) -> str:
    """Markdown table: one line an input and loss."""
    head = ['channels', 'present', 'loss', 'time [ms]', '/ CE', '/ ours', 'memory [MiB]']
    counted = any(costs['kernels'] is not None for costs in rows[0]['losses'].values())
    head += ['kernels', 'waits'] if counted else []
    rule = ['---:'] * len(head)
    rule[2] = ':---'
    lines = ['| ' + ' | '.join(head) + ' |', '| ' + ' | '.join(rule) + ' |']
    for row in rows:
        figures = row['losses']
        base = CE if CE in figures else BCE
        for name, costs in figures.items():
            cells = [str(row['channels']), str(row['present']), name]
            cells += [milliseconds(costs['seconds']), ratio(figures, name, base)]
            cells += [ratio(figures, name, RIVALS.get(name)), f'{costs["peak_bytes"] / 2**20:,.1f}']
            cells += [str(costs['kernels']), str(costs['waits'])] if counted else []
            lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Time all losses and print one table."""
    args = parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    setting = {
        'machine': name_machine(args.device),
        'device': str(args.device),
        'torch': torch.__version__,
        'threads': torch.get_num_threads(),
        **{key: vars(args)[key] for key in ('batch', 'classes', 'size', 'repeat')},
        'date': datetime.date.today().isoformat(),
    }
    if mmseg_lovasz() is None:
        print('note: MMSegmentation is not installed, so its Lovasz loss is left out')
    inputs = [(args.classes, present, multi_class_losses()) for present in args.present]
    rows = []
    for channels, present, losses in [*inputs, (1, 2, foreground_losses())]:
        figures = measure(losses, make_batch(args, channels, present), args)
        rows.append({'channels': channels, 'present': present, 'losses': figures})
    print(
        '{machine} ({device}), PyTorch {torch}, {threads} threads, {batch} x {size} x {size} '
        'pixels, median of {repeat}, {date}\n'.format(**setting)
    )
    print(table(rows))
    if args.json:
        write_json_or_exit('segmentation_losses.py', args.json, {**setting, 'inputs': rows})


if __name__ == '__main__':
    main()
