"""Time mmcv's operators on torchvision, beside compiled ones where mmcv has them.

Every time is a median over repeats, in which the two take turns. "compiled / torchvision" above 1:
torchvision is faster. Where mmcv has no compiled operators, that column stays empty.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module

import _find_package  # noqa: F401 - first
import _fitting_stack  # noqa: F401
import torch
from frame import (
    BenchmarkParser,
    costs_in_turns,
    count,
    markdown,
    milliseconds,
    publish,
    set_threads,
)
from torch import Tensor

from mmdet_alrp.cli.exit_status import exit_status_of
from mmdet_alrp.command_line import UsageError

Lookup = Callable[[str], Callable]
GEOMETRY = {'dH': 1, 'dW': 1, 'padH': 1, 'padW': 1, 'dilationH': 1, 'dilationW': 1, 'group': 1}
GEOMETRY |= {'deformable_group': 1, 'kH': 3, 'kW': 3, 'im2col_step': 2}


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line of the benchmark."""
    parser = BenchmarkParser('operators.py', __doc__)
    parser.add_argument(
        '--boxes', type=count, nargs='+', default=[1000, 5000, 20000], help='boxes for NMS'
    )
    parser.add_argument('--rois', type=count, default=512, help='boxes for RoIAlign')
    parser.add_argument('--size', type=count, default=100, help='height and width of the features')
    parser.add_argument('--channels', type=count, default=256)
    return parser.parse(argv)


def draw_boxes(number: int, side: float, device: torch.device) -> Tensor:
    """Boxes of a tenth of the side or so, anywhere in a square."""
    low = torch.rand(number, 2, device=device) * side
    return torch.cat((low, low + (0.2 * torch.rand(number, 2, device=device) + 0.02) * side), 1)


def suppress(number: int, device: torch.device, find: Lookup) -> Callable[[], object]:
    """NMS of so many boxes at IoU .5."""
    boxes, scores = draw_boxes(number, 1000, device), torch.rand(number, device=device)
    return partial(find('nms'), boxes, scores, iou_threshold=0.5, offset=0)


def suppress_softly(number: int, device: torch.device, find: Lookup) -> Callable[[], object]:
    """Linear soft NMS of so many boxes, which is for the CPU only."""
    boxes, scores = draw_boxes(number, 1000, torch.device('cpu')), torch.rand(number)
    options = {'iou_threshold': 0.3, 'sigma': 0.5, 'min_score': 1e-3, 'method': 1, 'offset': 0}
    return partial(find('softnms'), boxes, scores, torch.empty(number, 5), **options)


def align(args: argparse.Namespace, find: Lookup) -> dict[str, Callable[[], object]]:
    """RoIAlign to 7 x 7, forward and backward, with as many samples as the bins have pixels."""
    features = torch.randn(2, args.channels, args.size, args.size, device=args.device)
    rois = draw_boxes(args.rois, args.size * 8, args.device)
    rois = torch.cat((torch.arange(args.rois, device=args.device)[:, None] % 2, rois), dim=1)
    bins = {'aligned_height': 7, 'aligned_width': 7, 'spatial_scale': 0.125, 'sampling_ratio': 0}
    bins |= {'pool_mode': 1, 'aligned': True}
    output, none = features.new_zeros(args.rois, args.channels, 7, 7), features.new_zeros(0)
    grad = torch.zeros_like(features)
    forward = find('roi_align_forward')
    backward = find('roi_align_backward')
    return {
        'forward': partial(forward, features, rois, output, none, none, **bins),
        'backward': partial(backward, torch.ones_like(output), rois, none, none, grad, **bins),
    }


def convolve(args: argparse.Namespace, find: Lookup) -> dict[str, Callable[[], object]]:
    """Deformable convolution of 3 x 3, forward and backward."""
    x = torch.randn(2, args.channels, args.size, args.size, device=args.device)
    weight = torch.randn(args.channels, args.channels, 3, 3, device=args.device)
    offset = torch.randn(2, 18, args.size, args.size, device=args.device)
    output = torch.zeros_like(x)
    on_x, on_weight, on_offset = (torch.zeros_like(tensor) for tensor in (x, weight, offset))

    def backward() -> None:
        columns, ones = x.new_empty(0), x.new_empty(0)
        inputs = (x, offset, output)
        find('deform_conv_backward_input')(*inputs, on_x, on_offset, weight, columns, **GEOMETRY)
        parameters = find('deform_conv_backward_parameters')
        parameters(*inputs, on_weight, columns, ones, scale=1, **GEOMETRY)

    forward = find('deform_conv_forward')
    scratch = (x.new_empty(0), x.new_empty(0))
    return {
        'forward': partial(forward, x, weight, offset, output, *scratch, **GEOMETRY),
        'backward': backward,
    }


def list_calls(args: argparse.Namespace, find: Lookup) -> dict[str, Callable[[], object]]:
    """Every call that is timed, by the name of its row."""
    torch.manual_seed(0)
    calls = {f'NMS, {n:,} boxes': suppress(n, args.device, find) for n in args.boxes}
    fewest = min(args.boxes)
    calls[f'soft NMS, {fewest:,} boxes (CPU)'] = suppress_softly(fewest, args.device, find)
    for name, passes in (('RoIAlign', align(args, find)), ('deformable', convolve(args, find))):
        calls |= {f'{name}, {direction}': call for direction, call in passes.items()}
    return calls


def table(medians: dict[str, dict[str, float]]) -> str:
    """Markdown table: one line an operator."""
    rows = []
    for row, seconds in medians.items():
        rival = seconds.get('compiled')
        shown = f'{rival / seconds["torchvision"]:.3g}' if rival else ''
        rows.append([row, milliseconds(seconds['torchvision']), shown])
    return markdown(['operator', 'torchvision [ms]', 'compiled / torchvision'], rows)


def find_lookups() -> dict[str, Lookup]:
    """Return where operators are looked up by name: on torchvision, and compiled if there are any.

    Raises:
        UsageError: If torchvision is not installed or does not fit.
    """
    try:
        from mmdet_alrp.operators.lookup import find_operator
    except ImportError as error:
        raise UsageError(f'{error}: install the torchvision of your torch') from None
    lookups: dict[str, Lookup] = {'torchvision': find_operator}
    with contextlib.suppress(ImportError):  # mmcv has no operators at all
        extension = import_module('mmcv._ext')
        if not str(extension.__file__).endswith('.py'):
            lookups['compiled'] = partial(getattr, extension)
    return lookups


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    args = parse_args(argv)
    setting = set_threads(args, 'size', 'channels', 'rois')
    lookups = find_lookups()
    calls = {name: list_calls(args, find) for name, find in lookups.items()}
    medians = {}
    for row in calls['torchvision']:
        pair = {name: own[row] for name, own in calls.items()}
        costs = costs_in_turns(pair, args.device, args.repeat)
        medians[row] = {name: own['seconds'] for name, own in costs.items()}
    title = '2 maps of {channels} x {size} x {size}, {rois} boxes for RoIAlign, median of {repeat}'
    publish(args, setting, title, table(medians), seconds=medians)


if __name__ == '__main__':
    sys.exit(exit_status_of(main, 'operators.py'))
