"""Check, time and profile everything that runs on a GPU in a few minutes, with one command.

    python tools/benchmarks/gpu_check.py                   # on a GPU: some five minutes
    python tools/benchmarks/gpu_check.py --device cpu      # in small, by Triton's interpreter

Parts: "check" compares the kernels with the PyTorch path, wants the same bits from run to run with
and without `torch.use_deterministic_algorithms`, and targets of a batch equal to those of
MMDetection; "time" is ranking_losses.py in three states of scores, with a fused focal loss and
bucketing; "profile" says what each kernel takes; "step" is training_step.py. A check that
fails is printed, and the status is 1 at the end.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

if find_spec('mmdet_alrp') is None:  # not installed: the package lies two folders up
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
if '--device' in sys.argv and 'cpu' in sys.argv:
    os.environ.setdefault('TRITON_INTERPRET', '1')  # read when Triton is imported
    os.environ.setdefault('MMDET_ALRP_TRITON', 'interpret')

import ranking_losses
import torch
from ranking_contestants import STATES, make_batch, our_alrp, our_ap, our_ndcg, our_rank_sort
from torch import Tensor
from torch.autograd import DeviceType

from mmdet_alrp.command_line import OneLineParser
from mmdet_alrp.ranking.fused_passes import SWITCH

PARTS = ('check', 'time', 'profile', 'step')
LOSSES = {'aLRP': our_alrp, 'AP': our_ap, 'NDCG': our_ndcg, 'Rank & Sort': our_rank_sort}
# Logits and positives: those of the published tables, and few for the interpreter
SIZES = {'cuda': ((10**5, 300), (10**6, 1000), (16 * 10**6, 2500)), 'cpu': ((3000, 40),)}
DETECTORS = ('retinanet', 'retinanet-atss', 'foveabox')
MORE = {'cuda': (2 * 10**7, 6000), 'cpu': (3000, 60)}


def parse_args(argv: Sequence[str] | None) -> argparse.Namespace:
    """Command line of the check."""
    parser = OneLineParser(
        description=__doc__,
        prog='gpu_check.py',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=list(PARTS))
    parser.add_argument('--device', choices=('cuda', 'cpu'), default='cuda')
    parser.add_argument('--repeat', type=int, default=5)
    return parser.parse_args(argv)


def by_pytorch(loss: object, batch: tuple[Tensor, ...]) -> Tensor:
    """The gradient of a loss by the PyTorch path."""
    kept = os.environ.get(SWITCH)
    os.environ[SWITCH] = '0'
    try:
        return loss(*batch)
    finally:
        os.environ.pop(SWITCH)
        if kept is not None:
            os.environ[SWITCH] = kept


def failures(device: str) -> Iterator[str]:
    """What is not as it should be, one line each."""
    for count, num_pos in SIZES[device]:
        for state in STATES:
            batch = make_batch(count, num_pos, torch.device(device), state=state)
            for name, loss in LOSSES.items():
                place = f'{name}, {count:,} logits, {state}'
                found = loss(*batch)
                expected = by_pytorch(loss, batch)
                error = ((found - expected).abs().max() / expected.abs().max()).item()
                print(f'{place}: largest difference over largest gradient {error:.1e}')
                if not error < 1e-5:
                    yield f'{place}: kernels and PyTorch path differ by {error:.1e}'
                for strict in (False, True):
                    torch.use_deterministic_algorithms(strict)
                    again = loss(*batch)
                    torch.use_deterministic_algorithms(False)
                    if not torch.equal(found, again):
                        yield f'{place}: other bits in a second run, deterministic={strict}'
    if find_spec('mmdet') is None:
        print('note: no MMDetection, so targets of batches are not checked')
        return
    yield from targets_that_differ(device)


def targets_that_differ(device: str) -> Iterator[str]:
    """Compare targets of a whole batch with those of MMDetection, image by image."""
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from training_step import CONFIGS, make_batch

    from mmdet_alrp.models.dense_heads.batch_targets import BatchTargetsMixin

    init_default_scope('mmdet')
    for config in ('alrp_retinanet_r50_500', 'alrp_retinanet_atss_r50_500', 'alrp_atss_r50_500'):
        model = Config.fromfile(CONFIGS / f'{config}.py').model
        options = {'train_cfg': model.train_cfg, 'test_cfg': model.test_cfg}
        head = MODELS.build({**model.bbox_head, **options}).to(device)
        for num_boxes in (1, 7, 60):
            batch = make_batch(512, 8 if device == 'cuda' else 2, num_boxes)
            truths = [sample.gt_instances.to(device) for sample in batch['data_samples']]
            metas = [{'img_shape': (512, 512), 'pad_shape': (512, 512)} for _ in truths]
            shapes = [(512 // stride, 512 // stride) for stride in (8, 16, 32, 64, 128)]
            both = []
            for get_targets in (head.get_targets, super(BatchTargetsMixin, head).get_targets):
                both.append(get_targets(*head.get_anchors(shapes, metas, device), truths, metas))
            same = all(
                torch.equal(ours, theirs)
                for found, expected in zip(both[0][:-1], both[1][:-1], strict=True)
                for ours, theirs in zip(found, expected, strict=True)
            )
            print(f'{config}, {num_boxes} boxes an image: targets {"equal" if same else "differ"}')
            if not same:
                yield f'{config}, {num_boxes} boxes an image: targets differ'


def time_losses(device: str, repeat: int) -> None:
    """Print the table of ranking_losses.py, then more positives."""
    sizes, positives = ([str(n) for n in column] for column in zip(*SIZES[device], strict=True))
    common = ['--device', device, '--repeat', str(repeat), '--states', *STATES]
    ranking_losses.main(['--sizes', *sizes, '--positives', *positives, *common])
    more, more_pos = map(str, MORE[device])
    ranking_losses.main(['--sizes', more, '--positives', more_pos, *common])


def profile_losses(device: str) -> None:
    """Print the time and the number of the kernels of each loss."""
    count, num_pos = SIZES[device][-1]
    wanted = DeviceType.CUDA if device == 'cuda' else DeviceType.CPU
    activity = 'CUDA' if device == 'cuda' else 'CPU'
    for name in ('aLRP', 'Rank & Sort'):
        for state in STATES:
            batch = make_batch(count, num_pos, torch.device(device), state=state)
            LOSSES[name](*batch)
            with torch.profiler.profile(
                activities=[getattr(torch.profiler.ProfilerActivity, activity)]
            ) as watched:
                LOSSES[name](*batch)
            spent: Counter[str] = Counter()
            calls: Counter[str] = Counter()
            for event in watched.profiler.kineto_results.events():
                if event.device_type() == wanted:
                    spent[event.name()] += event.duration_ns()
                    calls[event.name()] += 1
            print(f'\n{name}, {state}: {sum(calls.values())} kernels')
            for kernel, nanoseconds in spent.most_common(12):
                print(f'{nanoseconds / 1e3:10.1f} us {calls[kernel]:4d} x {kernel[:90]}')


def main(argv: Sequence[str] | None = None) -> int:
    """Run the parts; return 1 if a check has failed, 2 if there is no GPU."""
    args = parse_args(argv)
    if args.device == 'cuda' and not torch.cuda.is_available():
        reason = '--device cuda: there is no GPU; --device cpu tries the script in small'
        print(f'gpu_check.py: error: {reason}', file=sys.stderr)
        return 2
    failed = list(failures(args.device)) if 'check' in args.parts else []
    if 'time' in args.parts:
        time_losses(args.device, args.repeat)
    if 'profile' in args.parts:
        profile_losses(args.device)
    if 'step' in args.parts and args.device == 'cuda':
        import training_step

        options = ['--device', 'cuda', '--batch', '8', '--repeat', str(args.repeat)]
        for loss, detectors in (('alrp', DETECTORS), ('rs', DETECTORS[:2])):
            training_step.main([*options, '--losses', loss, '--detectors', *detectors])
    for line in failed:
        print(f'FAILED: {line}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
