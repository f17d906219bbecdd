"""Check and time everything that runs on a GPU in a few minutes, with one command.

    python tools/benchmarks/gpu_check.py                   # on a GPU: some five minutes
    python tools/benchmarks/gpu_check.py --device cpu      # in small, by Triton's interpreter

Parts: "check" compares the kernels with the PyTorch path, wants the same bits from run to run with
and without `torch.use_deterministic_algorithms`, and targets of a batch equal to those of
MMDetection; "time" is ranking_losses.py in three states of scores, with a fused focal loss and
bucketing; "step" is training_step.py. A check that fails is printed, and the status is 1 at the
end.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence

if '--device' in sys.argv and 'cpu' in sys.argv:
    os.environ.setdefault('TRITON_INTERPRET', '1')  # read when Triton is imported
    os.environ.setdefault('MMDET_ALRP_TRITON', 'interpret')

import _find_package  # noqa: F401 - first
import _fitting_stack  # noqa: F401
import ranking_losses
import torch
import training_step
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from ranking_contestants import STATES, make_batch, our_alrp, our_ap, our_ndcg, our_rank_sort
from torch import Tensor

from mmdet_alrp.command_line import OneLineParser, fail
from mmdet_alrp.models.dense_heads.batch_targets import BatchTargetsMixin
from mmdet_alrp.ranking.fused_passes import SWITCH, can_fuse

PARTS = ('check', 'time', 'step')
LOSSES = {'aLRP': our_alrp, 'AP': our_ap, 'NDCG': our_ndcg, 'Rank & Sort': our_rank_sort}
# Logits and positives: those of the published tables and more positives; few for the interpreter
SIZES = {
    'cuda': ((10**5, 300), (10**6, 1000), (16 * 10**6, 2500), (2 * 10**7, 6000)),
    'cpu': ((3000, 40),),
}
DETECTORS = ('retinanet', 'retinanet-atss', 'foveabox')


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
    if not can_fuse(torch.zeros(1, device=device), 1.0):
        yield 'the kernels do not run here, see the warning above'
        return
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
    yield from targets_that_differ(device)


def targets_that_differ(device: str) -> Iterator[str]:
    """Compare targets of a whole batch with those of MMDetection, image by image."""
    init_default_scope('mmdet')
    for config in ('alrp_retinanet_r50_500', 'alrp_retinanet_atss_r50_500', 'alrp_atss_r50_500'):
        model = Config.fromfile(training_step.CONFIGS / f'{config}.py').model
        options = {'train_cfg': model.train_cfg, 'test_cfg': model.test_cfg}
        head = MODELS.build({**model.bbox_head, **options}).to(device)
        for num_boxes in (1, 7, 60):
            batch = training_step.make_batch(512, 8 if device == 'cuda' else 2, num_boxes)
            truths = [sample.gt_instances.to(device) for sample in batch['data_samples']]
            sizes = [(512, 512 - 64 * (image % 2)) for image in range(len(truths))]
            metas = [{'img_shape': size, 'pad_shape': size} for size in sizes]
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the parts; return 1 if a check has failed, 2 if there is no GPU."""
    parser = OneLineParser(prog='gpu_check.py', description=__doc__.partition('\n')[0])
    parser.add_argument('--parts', nargs='+', choices=PARTS, default=list(PARTS))
    parser.add_argument('--device', choices=SIZES, default='cuda')
    parser.add_argument('--repeat', type=int, default=5)
    args = parser.parse_args(argv)
    if args.device == 'cuda' and not torch.cuda.is_available():
        reason = '--device cuda: there is no GPU; --device cpu tries the script in small'
        return fail('gpu_check.py', reason)
    common = ['--device', args.device, '--repeat', str(args.repeat)]
    failed = list(failures(args.device)) if 'check' in args.parts else []
    if 'time' in args.parts:
        sizes, positives = (
            [str(n) for n in column] for column in zip(*SIZES[args.device], strict=True)
        )
        options = ['--sizes', *map(str, sizes), '--positives', *map(str, positives)]
        ranking_losses.main([*options, '--states', *STATES, *common])
    if 'step' in args.parts and args.device == 'cuda':
        for loss, detectors in (('alrp', DETECTORS), ('rs', DETECTORS[:2])):
            options = ['--batch', '8', '--losses', loss, '--detectors', *detectors]
            training_step.main([*options, *common])
    for line in failed:
        print(f'FAILED: {line}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
