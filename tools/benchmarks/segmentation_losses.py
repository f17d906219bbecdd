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
from collections.abc import Callable, Sequence
from functools import partial

import _find_package  # noqa: F401 - first
import torch
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
from torch import Tensor
from torch.nn import functional

from mmdet_alrp.segmentation import losses as ours

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
    parser = BenchmarkParser('segmentation_losses.py', __doc__)
    parser.add_argument('--batch', type=count, default=2, help='images')
    parser.add_argument('--classes', type=count, default=21)
    parser.add_argument('--size', type=count, default=512, help='height and width, in pixels')
    parser.add_argument(
        '--present',
        type=count,
        nargs='+',
        help='classes that the targets hold (default: a quarter of them, and all)',
    )
    args = parser.parse(argv)
    if args.classes < 2 or args.classes > IGNORED:
        parser.error(f'--classes must be from 2 to {IGNORED}, got {args.classes}')
    args.present = args.present or [max(args.classes // 4, 1), args.classes]
    for present in args.present:
        if present > args.classes:
            parser.error(f'--present {present} is more than the {args.classes} --classes')
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
    return costs_in_turns(calls, args.device, args.repeat)


def table(rows: list[dict]) -> str:
    """Markdown table: one line an input and loss."""
    head = ['loss', 'channels', 'present', 'time [ms]', '/ CE', '/ ours', 'memory [MiB]']
    counted = any(costs['kernels'] is not None for costs in rows[0]['losses'].values())
    head += ['kernels', 'waits'] if counted else []
    lines = []
    for row in rows:
        figures = row['losses']
        base = CE if CE in figures else BCE
        for name, costs in figures.items():
            cells = [name, row['channels'], row['present'], milliseconds(costs['seconds'])]
            cells += [ratio(figures, name, other) for other in (base, RIVALS.get(name))]
            cells += [f'{costs["peak_bytes"] / 2**20:,.1f}']
            lines.append(cells + ([costs['kernels'], costs['waits']] if counted else []))
    return markdown(head, lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Time all losses and print one table."""
    args = parse_args(argv)
    setting = set_threads(args, 'batch', 'classes', 'size')
    if mmseg_lovasz() is None:
        print('note: MMSegmentation is not installed, so its Lovasz loss is left out')
    inputs = [(args.classes, present, multi_class_losses()) for present in args.present]
    rows = []
    for channels, present, losses in [*inputs, (1, 2, foreground_losses())]:
        figures = measure(losses, make_batch(args, channels, present), args)
        rows.append({'channels': channels, 'present': present, 'losses': figures})
    title = '{batch} x {size} x {size} pixels, median of {repeat}'
    publish(args, setting, title, table(rows), inputs=rows)


if __name__ == '__main__':
    main()
