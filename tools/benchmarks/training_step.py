"""Time whole training steps of detectors with a ranking loss beside their focal or CE twins.

A step is all that a training loop does with a loaded batch, without the runner's hooks. The
contestants have random weights, see the same synthetic batch and take turns inside each repeat. The
learning rate is 0: every step does the work of the first, in which most negatives matter to the
ranking. Shares of time come from a pass of their own, in which the device is waited for between the
parts. Memory is the peak of tensors in one step, above what rests between the steps.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if find_spec('mmdet_alrp') is None:  # not installed: the package lies two folders up
    sys.path.insert(0, str(ROOT))
os.environ.update(KINETO_LOG_LEVEL='99', TORCH_CPP_LOG_LEVEL='ERROR')  # the profiler chats

try:
    import torch
    from figures import count, milliseconds, name_machine, new_file, write_json
    from mmdet.registry import MODELS
    from mmdet.structures import DetDataSample
    from mmengine.config import Config
    from mmengine.logging import MMLogger
    from mmengine.optim import OptimWrapper, build_optim_wrapper
    from mmengine.registry import init_default_scope
    from mmengine.structures import InstanceData
    from ranking_losses import usable_device
    from stopwatch import PARTS, Stopwatch, wait_for

    from mmdet_alrp.command_line import OneLineParser, UsageError
    from mmdet_alrp.models.dense_heads import batch_targets
except ImportError as misfit:  # the package says which version does not fit, and what to do
    print(f'training_step.py: error: {" ".join(str(misfit).split())}', file=sys.stderr)
    sys.exit(2)

CONFIGS = ROOT / 'configs'
# Detector: its part of a config's name, and the twin's losses.
DETECTORS = {
    'retinanet': ('retinanet_r50_500', 'focal'),
    'retinanet-atss': ('retinanet_atss_r50_500', 'focal'),
    'foveabox': ('foveabox_r50_500', 'focal'),
    'faster-rcnn': ('faster_rcnn_r50_500', 'ce_giou'),
}
LOSSES = ('alrp', 'ap', 'ndcg', 'rs')
TITLE = (
    '{machine} ({device}), PyTorch {torch}, {threads} thread(s), {batch} images of '
    '{size} x {size} with {boxes} boxes each, median of {repeat}, {date}'
)


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line of the benchmark."""
    parser = OneLineParser(description=__doc__, prog='training_step.py')
    parser.add_argument('--detectors', nargs='+', choices=DETECTORS, default=list(DETECTORS))
    parser.add_argument('--losses', nargs='+', choices=LOSSES, default=['alrp'])
    parser.add_argument('--device', default='cpu', help='cpu, cuda or cuda:N')
    parser.add_argument('--size', type=count, default=512, help='side of the square images')
    parser.add_argument('--batch', type=count, default=2, help='images a step')
    parser.add_argument('--boxes', type=count, default=7, help='objects an image')
    parser.add_argument('--proposals', type=count, help='an image, of two-stage detectors')
    parser.add_argument('--repeat', type=count, default=5)
    parser.add_argument('--threads', type=count, help='CPU threads of PyTorch')
    parser.add_argument('--json', type=new_file, metavar='FILE', help='write all figures')
    args = parser.parse_args(argv)
    if args.size < 64:
        parser.error(f'--size must be at least 64, got {args.size}')
    for detector in args.detectors:
        for config in config_names(detector, args.losses):
            if not (CONFIGS / f'{config}.py').is_file():
                parser.error(f'there is no config {config}.py in {CONFIGS}')
    args.device = usable_device(parser, args.device)
    return args


def config_names(detector: str, losses: Sequence[str]) -> list[str]:
    """The twin's config first, then those with ranking losses."""
    name, twin = DETECTORS[detector]
    return [f'{loss}_{name}' for loss in (twin, *losses)]


def make_batch(size: int, num_images: int, num_boxes: int) -> dict[str, list]:
    """Images of noise as a data loader hands them out, with boxes from small to large."""
    generator = torch.Generator().manual_seed(0)
    inputs, samples = [], []
    for _ in range(num_images):
        inputs.append(torch.randint(256, (3, size, size), generator=generator).byte())
        # Sides from a sixtieth to .6 of the image on a logarithmic scale: at 512, 9 to 307 pixels.
        sides = size * 0.6 * 36 ** -torch.rand(num_boxes, 2, generator=generator)
        corners = torch.rand(num_boxes, 2, generator=generator) * (size - sides)
        labels = torch.randint(80, (num_boxes,), generator=generator)  # all configs are for COCO
        shape = {'img_shape': (size, size), 'ori_shape': (size, size), 'scale_factor': (1.0, 1.0)}
        sample = DetDataSample(metainfo=shape)
        boxes = torch.cat([corners, corners + sides], dim=1)
        sample.gt_instances = InstanceData(bboxes=boxes, labels=labels)
        samples.append(sample)
    return {'inputs': inputs, 'data_samples': samples}


class Contestant:
    """A model with its optimiser and a batch, built from a config without any download.

    Args:
        config: Name of the config.
        args: Command line: device and size of the batch.

    Raises:
        UsageError: If its loss is not finite.
    """

    def __init__(self, config: str, args: argparse.Namespace) -> None:
        self.config, self.device = config, args.device
        cfg = Config.fromfile(CONFIGS / f'{config}.py')
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
        self.batch = make_batch(args.size, args.batch, args.boxes)
        if not self.step()['loss'].isfinite():  # warms up as well: allocator, kernels, clocks
            raise UsageError(f'{config}: the loss is not finite, so its time says nothing')

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

    def peak_bytes(self) -> int:
        """Most bytes of tensors at once in a step, above those that were there before."""
        if self.device.type == 'cuda':
            torch.cuda.reset_peak_memory_stats(self.device)
            before = torch.cuda.memory_allocated(self.device)
            self.step()
            return torch.cuda.max_memory_allocated(self.device) - before
        with torch.autograd.profiler.profile(profile_memory=True) as profiler:
            self.step()
        # The profiler notes every allocation and release, in order of time.
        events = profiler.kineto_results.events()
        return max(accumulate(event.nbytes() for event in events if event.name() == '[memory]'))


def measure(detector: str, args: argparse.Namespace) -> list[dict]:
    """Figures of a detector's twin, then of the ranking losses."""
    contestants = [Contestant(config, args) for config in config_names(detector, args.losses)]
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
        row = {'detector': detector, 'config': contestant.config}
        row['wall_seconds'], row['cpu_seconds'] = map(list, zip(*times, strict=True))
        row['shares'] = {part: spent / sum(parts.values()) for part, spent in parts.items()}
        rows.append(row | {'peak_bytes': contestant.peak_bytes()})
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
    lines = ['| ' + ' | '.join(head) + ' |', '| --- |' + ' ---: |' * (len(head) - 1)]
    for row in rows:
        wall = row['wall_ratios']
        cells = [row['config'], milliseconds(statistics.median(row['wall_seconds']))]
        cells += [f'{statistics.median(wall):.2f} ({min(wall):.2f} to {max(wall):.2f})']
        cells += [f'{statistics.median(row["cpu_ratios"]):.2f}']
        cells += [f'{100 * row["shares"][part]:.1f}' for part in PARTS]
        cells += [f'{row["peak_bytes"] / 1e6:,.0f}', f'{row["memory_ratio"]:.2f}']
        lines.append('| ' + ' | '.join(cells) + ' |')
    return '\n'.join(lines)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all detectors and print one table."""
    args = parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    warnings.filterwarnings('ignore', 'pkg_resources is deprecated', UserWarning)
    setting = {'machine': name_machine(args.device), 'device': str(args.device)}
    setting |= {'torch': torch.__version__, 'threads': torch.get_num_threads()}
    setting |= {key: vars(args)[key] for key in ('size', 'batch', 'boxes', 'proposals', 'repeat')}
    setting['date'] = time.strftime('%Y-%m-%d')
    try:
        rows = [row for detector in args.detectors for row in measure(detector, args)]
        print(TITLE.format(**setting), table(rows), sep='\n\n')
        if args.json:
            write_json(args.json, {**setting, 'rows': rows})
    except torch.cuda.OutOfMemoryError:
        reason = 'the device has too little memory: take a smaller --batch or --size'
    except (UsageError, OSError) as error:
        reason = ' '.join(str(error).split())
    else:
        return
    print(f'training_step.py: error: {reason}', file=sys.stderr)
    sys.exit(2)


if __name__ == '__main__':
    main()
