"""Time whole training steps of detectors with a ranking loss beside their focal or CE twins.

A step is all that a training loop does with a loaded batch, without the runner's hooks. The
contestants have random weights, see the same synthetic batch and take turns inside each repeat. The
learning rate is 0: every step does the work of the first, in which most negatives matter to the
ranking. Shares of time come from a pass of their own, in which the device is waited for between the
parts. Memory is the peak of tensors in one step, above what rests between the steps.

Without CONFIG it compares the R50 detectors of `--detectors` with their twins; with CONFIG these
configs, the first of which the ratios refer to.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import _find_package  # noqa: F401 - first
import _fitting_stack  # noqa: F401
import torch
from frame import (
    BenchmarkParser,
    costs_of,
    count,
    markdown,
    milliseconds,
    publish,
    set_threads,
    wait_for,
)
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.logging import MMLogger
from mmengine.optim import OptimWrapper, build_optim_wrapper
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from stopwatch import PARTS, Stopwatch

from mmdet_alrp.command_line import UsageError
from mmdet_alrp.models.dense_heads import batch_targets

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
# Detector: its part of a config's name, and the twin's losses.
DETECTORS = {
    'retinanet': ('retinanet_r50_500', 'focal'),
    'retinanet-atss': ('retinanet_atss_r50_500', 'focal'),
    'foveabox': ('foveabox_r50_500', 'focal'),
    'faster-rcnn': ('faster_rcnn_r50_500', 'ce_giou'),
}
LOSSES = ('alrp', 'ap', 'ndcg', 'rs')


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line of the benchmark; ``groups`` are the configs to be compared."""
    parser = BenchmarkParser('training_step.py', __doc__, repeat=5)
    parser.add_argument('configs', nargs='*', type=Path, metavar='CONFIG')
    parser.add_argument('--detectors', nargs='+', choices=DETECTORS, default=list(DETECTORS))
    parser.add_argument('--losses', nargs='+', choices=LOSSES, default=['alrp'])
    parser.add_argument('--size', type=count, default=512, help='side of the square images')
    parser.add_argument('--batch', type=count, default=2, help='images a step')
    parser.add_argument('--boxes', type=count, default=7, help='objects an image')
    parser.add_argument('--proposals', type=count, help='an image, of two-stage detectors')
    args = parser.parse(argv)
    if args.size < 64:
        parser.error(f'--size must be at least 64, got {args.size}')
    args.groups = [args.configs] if args.configs else []
    for name, twin in (DETECTORS[detector] for detector in args.detectors if not args.configs):
        args.groups.append([CONFIGS / f'{loss}_{name}.py' for loss in (twin, *args.losses)])
    for config in (config for group in args.groups for config in group):
        if not config.is_file():
            parser.error(f'there is no config {config.name} in {config.parent}')
    return args


def make_batch(size: int, num_images: int, num_boxes: int, num_classes: int = 80) -> dict:
    """Images of noise as a data loader hands them out, with boxes from small to large."""
    generator = torch.Generator().manual_seed(0)
    inputs, samples = [], []
    for _ in range(num_images):
        inputs.append(torch.randint(256, (3, size, size), generator=generator).byte())
        # Sides from a sixtieth to .6 of the image on a logarithmic scale: at 512, 9 to 307 pixels.
        sides = size * 0.6 * 36 ** -torch.rand(num_boxes, 2, generator=generator)
        corners = torch.rand(num_boxes, 2, generator=generator) * (size - sides)
        labels = torch.randint(num_classes, (num_boxes,), generator=generator)
        shape = {'img_shape': (size, size), 'ori_shape': (size, size), 'scale_factor': (1.0, 1.0)}
        sample = DetDataSample(metainfo=shape)
        boxes = torch.cat([corners, corners + sides], dim=1)
        sample.gt_instances = InstanceData(bboxes=boxes, labels=labels)
        samples.append(sample)
    return {'inputs': inputs, 'data_samples': samples}


class Contestant:
    """A model with its optimiser and a batch, built from a config without any download.

    Args:
        config: File of the config.
        args: Command line: device and size of the batch.

    Raises:
        UsageError: If its loss is not finite.
    """

    def __init__(self, config: Path, args: argparse.Namespace) -> None:
        self.config, self.device = config.stem, args.device
        cfg = Config.fromfile(config)
        init_default_scope('mmdet')
        MMLogger.get_current_instance().setLevel('ERROR')  # it lists every parameter
        cfg.model.backbone.init_cfg = None
        cfg.optim_wrapper.optimizer.lr = 0.0
        if args.proposals and 'rpn_head' in cfg.model:
            cfg.model.train_cfg.rpn_proposal.max_per_img = args.proposals
        torch.manual_seed(0)
        self.model = MODELS.build(cfg.model).to(args.device).train()
        self.model.init_weights()
        self.optim: OptimWrapper = build_optim_wrapper(self.model, cfg.optim_wrapper)
        roi = getattr(self.model, 'roi_head', None)
        head = self.model.bbox_head if roi is None else roi.bbox_head
        self.batch = make_batch(args.size, args.batch, args.boxes, head.num_classes)
        if not self.step()['loss'].isfinite():  # warms up as well: allocator, kernels, clocks
            raise UsageError(f'{self.config}: the loss is not finite, so its time says nothing')

    def step(self) -> dict[str, torch.Tensor]:
        """One training step; returns its losses."""
        return self.model.train_step(self.batch, self.optim)

    def seconds(self) -> tuple[float, float]:
        """Wall time and CPU time of one step."""
        wait_for(self.device)
        wall, cpu = time.perf_counter(), time.process_time()
        self.step()
        wait_for(self.device)
        return time.perf_counter() - wall, time.process_time() - cpu

    def seconds_of_parts(self) -> dict[str, float]:
        """Wall time of the parts of one step."""
        watch = Stopwatch(self.device)
        with watch.running(self.timed_methods()):
            self.step()
        return watch.seconds

    def timed_methods(self) -> list[tuple[object, str, str]]:
        """What a stopwatch wraps: owner, method and the part of the step that it is."""
        optim, roi = self.optim, getattr(self.model, 'roi_head', None)
        head = self.model.bbox_head if roi is None else self.model.rpn_head
        found = [(self.model, 'extract_feat', 'forward'), (head, 'forward', 'forward')]
        found += [(head, 'get_targets', 'targets'), (head, 'loss_by_feat', 'loss')]
        found += [(optim, 'backward', 'backward'), (optim, 'step', 'optimiser')]
        found += [(optim, 'zero_grad', 'optimiser')]
        if hasattr(head, 'assigner'):  # FoveaBox compares sizes and places by itself
            found += [(head.assigner, 'assign', 'assigner'), (head, 'get_anchors', 'targets')]
            found += [(batch_targets, 'assign_images', 'assigner')]  # all images at once
        if roi is not None:
            found += [(roi.bbox_assigner, 'assign', 'assigner')]
            found += [(roi.bbox_sampler, 'sample', 'targets'), (roi, '_bbox_forward', 'forward')]
            found += [(roi.bbox_head, 'get_targets', 'targets'), (roi.bbox_head, 'loss', 'loss')]
        return found


def measure(configs: Sequence[Path], args: argparse.Namespace) -> list[dict]:
    """Figures of all configs, the first of which the ratios refer to."""
    contestants = [Contestant(config, args) for config in configs]
    samples: list[list[tuple[float, float]]] = [[] for _ in contestants]
    profiles: list[list[dict[str, float]]] = [[] for _ in contestants]
    for turn in range(args.repeat):
        step = -1 if turn % 2 else 1  # so that each follows the other as often
        for contestant, times in list(zip(contestants, samples, strict=True))[::step]:
            times.append(contestant.seconds())
    for _ in range(min(3, args.repeat)):  # shares of time settle early
        for contestant, profile in zip(contestants, profiles, strict=True):
            profile.append(contestant.seconds_of_parts())
    rows = []
    for contestant, times, profile in zip(contestants, samples, profiles, strict=True):
        parts = {part: statistics.median(spent[part] for spent in profile) for part in PARTS}
        row = {'config': contestant.config}
        row['wall_seconds'], row['cpu_seconds'] = map(list, zip(*times, strict=True))
        row['shares'] = {part: spent / sum(parts.values()) for part, spent in parts.items()}
        rows.append(row | {'peak_bytes': costs_of(contestant.step, args.device)['peak_bytes']})
    return [row | ratios(row, rows[0]) for row in rows]


def ratios(row: dict, twin: dict) -> dict[str, list[float] | float]:
    """Ratios to the twin: those of the times repeat by repeat, which other load meets alike."""
    found = {'memory_ratio': row['peak_bytes'] / twin['peak_bytes']}
    for kind in ('wall', 'cpu'):
        pairs = zip(row[f'{kind}_seconds'], twin[f'{kind}_seconds'], strict=True)
        found[f'{kind}_ratios'] = [own / other for own, other in pairs]
    return found


def table(rows: list[dict]) -> str:
    """Markdown table: times, ratios to the twin, shares of time in percent and memory."""
    head = ['config', 'step [ms]', '/ twin (range)', 'CPU time / twin']
    head += [f'{part} [%]' for part in PARTS] + ['memory [MB]', '/ twin']
    lines = []
    for row in rows:
        wall = row['wall_ratios']
        cells = [row['config'], milliseconds(statistics.median(row['wall_seconds']))]
        cells += [f'{statistics.median(wall):.2f} ({min(wall):.2f} to {max(wall):.2f})']
        cells += [f'{statistics.median(row["cpu_ratios"]):.2f}']
        cells += [f'{100 * row["shares"][part]:.1f}' for part in PARTS]
        lines.append([*cells, f'{row["peak_bytes"] / 1e6:,.0f}', f'{row["memory_ratio"]:.2f}'])
    return markdown(head, lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all detectors and print one table."""
    args = parse_args(argv)
    setting = set_threads(args, 'size', 'batch', 'boxes', 'proposals')
    warnings.filterwarnings('ignore', 'pkg_resources is deprecated', UserWarning)
    try:
        rows = [row for group in args.groups for row in measure(group, args)]
    except torch.cuda.OutOfMemoryError:
        reason = 'the device has too little memory: take a smaller --batch or --size'
    except UsageError as error:
        reason = str(error)
    else:
        title = '{batch} images of {size} x {size} with {boxes} boxes each, median of {repeat}'
        publish(args, setting, title, table(rows), rows=rows)
        return
    print(f'training_step.py: error: {reason}', file=sys.stderr)
    sys.exit(2)


if __name__ == '__main__':
    main()
